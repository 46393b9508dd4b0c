//! Nodes that must be refused: of another cluster, wiped, cloned. The real
//! admission of the peers' listener (`peers/identity.rs`) decides; what it lets in,
//! the core would hear.

use crate::sim::server::CLUSTER;
use kontiki::machine::ClusterVersion;
use kontiki::peers::identity::{Admission, Identity, KnownDirectories, RememberError};
use kontiki::proto::raft as pb;
use kontiki::settings::SharedSettings;
use kontiki::types::{ClusterId, DirectoryId, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// The kind of stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Somebody of another cluster.
    Foreign,
    /// A member that comes with an empty, new directory.
    Wiped,
    /// A member that comes with a copy of another one's directory.
    Cloned { of: NodeId },
}

/// Which nodes each node admits. All members know each other.
pub struct Admissions {
    admissions: BTreeMap<NodeId, Admission>,
}

#[derive(Default)]
struct Known(Mutex<BTreeMap<NodeId, DirectoryId>>);

impl KnownDirectories for Known {
    fn remember(&self, peer: NodeId, directory: DirectoryId) -> Result<(), RememberError> {
        let known = *self.0.lock().expect("nobody panics").entry(peer).or_insert(directory);
        if known == directory { Ok(()) } else { Err(RememberError::Differs { known }) }
    }
}

/// The directory that a member had when it was first met.
fn directory(node: NodeId) -> DirectoryId {
    DirectoryId(0xd1_0000 + node.0)
}

fn identity(node: NodeId) -> Identity {
    Identity {
        cluster: CLUSTER,
        node,
        directory: directory(node),
        process: 0,
        name: format!("n{node}"),
        peer_urls: Vec::new(),
        client_url: format!("http://n{node}:2379"),
        settings: SharedSettings(vec![("heartbeat-ms", 50)]),
        founders: Vec::new(),
        supports: ClusterVersion::SUPPORTED,
    }
}

impl Admissions {
    pub fn new(nodes: &[NodeId]) -> Self {
        let admission = |own: &NodeId| {
            let known = Known::default();
            for peer in nodes {
                known.remember(*peer, directory(*peer)).expect("the first time");
            }
            (*own, Admission::new(identity(*own), nodes.iter().copied(), Arc::new(known)))
        };
        Self { admissions: nodes.iter().map(admission).collect() }
    }

    /// Whether `node` lets in a stranger that says it is `member`; and, if not, why.
    pub fn admit(&self, node: NodeId, member: NodeId, stranger: Stranger) -> Result<(), String> {
        let mut claimed = identity(member);
        match stranger {
            Stranger::Foreign => claimed.cluster = ClusterId(CLUSTER.0 + 1),
            Stranger::Wiped => claimed.directory = DirectoryId(0xbad),
            Stranger::Cloned { of } => claimed.directory = directory(of),
        }
        let sender: pb::Sender = claimed.sender(node);
        let admission = &self.admissions[&node];
        // What is strange about the sender itself is seen at once; a new directory is compared on a thread.
        let mut admitted = Box::pin(admission.admit(Some(sender)));
        let outcome = match stranger {
            Stranger::Foreign => match admitted.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => return Ok(()),
            },
            Stranger::Wiped | Stranger::Cloned { .. } => {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(admitted)
            }
        };
        outcome.map(drop).map_err(|refusal| refusal.text)
    }
}
