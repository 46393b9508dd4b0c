//! What a node sends: collected while it takes a turn, carried by the world after it.

use kontiki::raft::Message;
use kontiki::replica::{Snapshot, Transport};
use kontiki::types::{NodeId, Term};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

/// The transport of one process.
#[derive(Debug, Default)]
pub struct Outbox(Mutex<Content>);

/// What waits to be carried.
#[derive(Debug, Default)]
pub struct Content {
    pub messages: Vec<(NodeId, Message)>,
    pub snapshots: Vec<(NodeId, Term, Snapshot)>,
    /// Peers to whom there is no connection, as the process knows.
    pub disconnected: BTreeSet<NodeId>,
}

impl Outbox {
    pub fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

impl Transport for Outbox {
    fn send(&self, to: NodeId, message: Message) -> bool {
        let mut content = self.lock();
        if content.disconnected.contains(&to) {
            return false;
        }
        content.messages.push((to, message));
        true
    }

    fn send_snapshot(&self, to: NodeId, term: Term, snapshot: Snapshot) {
        self.lock().snapshots.push((to, term, snapshot));
    }
}
