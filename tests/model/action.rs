//! What can happen next.

use crate::model::network::{Content, Packet};
use crate::model::scope::{Budget, Scope};
use crate::model::server::Input;
use crate::model::world::{IDS, World};
use crate::raft::words;
use kontiki::raft::ReadToken;
use kontiki::types::NodeId;
use std::fmt;
use std::sync::Arc;

/// An input to a server, and what it is taken from.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    pub at: NodeId,
    pub input: Input,
    pub budget: Option<Budget>,
}

/// All that might happen. Some of it will turn out to be nothing.
pub fn list(world: &World, scope: &Scope, actions: &mut Vec<Action>) {
    let is_awake = |id: NodeId| id.0 <= world.woken + 1;
    for packet in world.network.packets().filter(|packet| is_awake(packet.to)) {
        actions.push(Action { at: packet.to, input: Input::Packet(Arc::clone(packet)), budget: None });
    }
    for id in IDS.into_iter().filter(|id| is_awake(*id)) {
        list_free(world, scope, id, actions);
        let mut limited = Limited { world, scope, id, actions };
        limited.list();
    }
}

/// What is never bounded, since it ends by itself.
fn list_free(world: &World, scope: &Scope, id: NodeId, actions: &mut Vec<Action>) {
    let server = world.server(id);
    let mut push = |input| actions.push(Action { at: id, input, budget: None });
    if !server.disk.is_idle() {
        push(Input::Finish);
    }
    if let Some(install) = &server.install {
        push(if install.replaced { Input::Installed } else { Input::Replace });
    }
    if !server.leads() {
        // Both are bounded by the terms, and change nothing when repeated. Without
        // pre-votes a timeout that is not a candidacy only ends the trust in a leader.
        if scope.rules.pre_votes || server.node.leader().is_some() {
            push(Input::Timeout);
        }
        if !scope.rules.pre_votes {
            push(Input::Campaign);
        }
    }
    for peer in server.sending.keys() {
        push(Input::StreamBreaks(*peer));
    }
    for read in &server.reading {
        push(Input::ReadLog(read.to));
    }
}

struct Limited<'a> {
    world: &'a World,
    scope: &'a Scope,
    id: NodeId,
    actions: &'a mut Vec<Action>,
}

impl Limited<'_> {
    fn push(&mut self, budget: Budget, input: Input) {
        if self.scope.allows(&self.world.used, budget) {
            self.actions.push(Action { at: self.id, input, budget: Some(budget) });
        }
    }

    fn list(&mut self) {
        let used = |budget: Budget| self.world.used[budget as usize];
        let (proposals, reads) = (used(Budget::Proposals), used(Budget::Reads));
        let leads = self.world.server(self.id).leads();
        self.push(Budget::Crashes, Input::Crash);
        self.push(Budget::Compactions, Input::Compact);
        if leads {
            self.push(Budget::Ticks, Input::Tick);
            self.push(Budget::Proposals, Input::Propose(proposals));
            self.push(Budget::Reads, Input::Read(ReadToken(reads.into())));
        }
        let own = self.id;
        for peer in IDS.into_iter().filter(|peer| *peer != own) {
            if leads {
                self.push(Budget::Transfers, Input::Transfer(peer));
            }
            self.push(Budget::Breaks, Input::Unreachable(peer));
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = words::node(self.at);
        match &self.input {
            Input::Packet(packet) => write!(to, "{}", words_of(packet)),
            Input::Timeout => write!(to, "{id}: its election timer fires"),
            Input::Campaign => write!(to, "{id}: its election timer fires, and its pre-vote is won"),
            Input::Tick => write!(to, "{id}: a tick, as leader"),
            Input::Finish => write!(to, "{id}: its disk finishes a job"),
            Input::Crash => write!(to, "{id}: crashes and restarts"),
            Input::Propose(number) => write!(to, "{id}: is asked to write '{}'", char::from(b'a' + number)),
            Input::Read(token) => write!(to, "{id}: is asked for read {}", token.0),
            Input::ReadLog(peer) => write!(to, "{id}: has read its log for {}", words::node(*peer)),
            Input::Compact => write!(to, "{id}: saves its state and compacts its log"),
            Input::Transfer(peer) => write!(to, "{id}: is to hand over to {}", words::node(*peer)),
            Input::Replace => write!(to, "{id}: has replaced its state by the snapshot"),
            Input::Installed => write!(to, "{id}: learns that the snapshot is installed"),
            Input::StreamBreaks(peer) => {
                write!(to, "{id}: its snapshot stream to {} breaks", words::node(*peer))
            }
            Input::Unreachable(peer) => write!(to, "{id}: loses its connection to {}", words::node(*peer)),
        }
    }
}

fn words_of(packet: &Packet) -> String {
    let Packet { from, to, content } = packet;
    let what = match content {
        Content::Message(message) | Content::Snapshot(message, _) => words::message(message),
        Content::Received { term, index } => format!("has received the snapshot of {index} from t{term}"),
    };
    format!("{} → {} {what}", words::node(*from), words::node(*to))
}
