//! The state of the model: three servers, the network, what is left of each
//! budget, and what must be remembered to judge the next step.

use crate::model::laws::Ledger;
use crate::model::network::Network;
use crate::model::scope::Used;
use crate::model::server::{Reaction, Rules, Server};
use crate::raft::words;
use kontiki::raft::Members;
use kontiki::types::NodeId;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// All servers.
pub const IDS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

#[derive(Clone)]
pub struct World {
    servers: [Arc<Placed>; IDS.len()],
    pub network: Network,
    pub ledger: Ledger,
    pub used: Used,
    /// How many servers have done something. They begin in the order of their
    /// ids: whichever begins first could as well have been called n1.
    pub woken: u64,
    /// The law that was broken, and how.
    pub broken: Option<(&'static str, Arc<str>)>,
}

/// A server with its hash.
pub struct Placed {
    pub server: Server,
    pub fingerprint: u64,
}

impl World {
    pub fn new(rules: Rules) -> Self {
        let members = Members::of(IDS, [], []);
        let place = |id| {
            let server = Server::new(id, &members, rules);
            let fingerprint = server.fingerprint();
            Arc::new(Placed { server, fingerprint })
        };
        Self {
            servers: IDS.map(place),
            network: Network::default(),
            ledger: Ledger::default(),
            used: Used::default(),
            woken: 0,
            broken: None,
        }
    }

    pub fn placed(&self, id: NodeId) -> &Placed {
        &self.servers[place_of(id)]
    }

    pub fn server(&self, id: NodeId) -> &Server {
        &self.placed(id).server
    }

    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().map(|placed| &placed.server)
    }

    /// The server reacts, and what it sends is on its way.
    pub fn carry_out(&mut self, id: NodeId, reaction: &Reaction) {
        let Reaction { server, fingerprint, sent, .. } = reaction;
        let placed = Placed { server: server.clone(), fingerprint: *fingerprint };
        self.servers[place_of(id)] = Arc::new(placed);
        for packet in sent {
            self.network.insert(packet);
        }
        for server in self.servers.iter().map(|placed| &placed.server) {
            self.network.forget(server.node.id(), server.disk.hard_state.term);
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

fn place_of(id: NodeId) -> usize {
    usize::try_from(id.0).expect("small") - 1
}

impl Hash for World {
    fn hash<H: Hasher>(&self, to: &mut H) {
        let Self { servers, network, ledger, used, woken, broken } = self;
        for placed in servers {
            placed.fingerprint.hash(to);
        }
        (network, ledger, used, woken, broken).hash(to);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for server in self.servers() {
            let disk = &server.disk;
            writeln!(text, "  {}", words::status(&server.node))?;
            writeln!(
                text,
                "    on disk {:?}, log to {}, state at {}",
                disk.hard_state,
                disk.last(),
                disk.state.applied
            )?;
        }
        to.write_str(&text)
    }
}
