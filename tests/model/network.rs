//! What was sent. Nothing is ever taken out again: a packet that arrived may
//! arrive once more, at any time, and one that never does is lost. So loss,
//! repetition, reordering and delay (across restarts, too) need no actions and
//! no bounds, and a state is the same whether a packet without effect has arrived or not.

use crate::raft::disk::State;
use kontiki::raft::{Message, RequestVote, Vote};
use kontiki::types::{Index, NodeId, Term};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Something on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub from: NodeId,
    pub to: NodeId,
    pub content: Content,
}

/// What is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    Message(Message),
    /// The stream of a snapshot: it arrives in full or not at all.
    Snapshot(Message, State),
    /// The answer to a stream, from driver to driver: the state includes `index`.
    Received {
        term: Term,
        index: Index,
    },
}

/// A set of packets, each with its hash, in the order of these.
#[derive(Clone, Debug, Default)]
pub struct Network {
    packets: Arc<Vec<(u64, Arc<Packet>)>>,
}

impl Network {
    pub fn packets(&self) -> impl Iterator<Item = &Arc<Packet>> {
        self.packets.iter().map(|(_, packet)| packet)
    }

    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// True if no such packet was there.
    pub fn insert(&mut self, packet: &Packet) -> bool {
        let mut hasher = DefaultHasher::new();
        packet.hash(&mut hasher);
        let key = hasher.finish();
        let Err(place) = self.packets.binary_search_by_key(&key, |(key, _)| *key) else { return false };
        Arc::make_mut(&mut self.packets).insert(place, (key, Arc::new(packet.clone())));
        true
    }

    /// Forgets what can have no effect any more, since `node` has `term` durably.
    pub fn forget(&mut self, node: NodeId, term: Term) {
        let is_dead = |packet: &Packet| packet.to == node && packet.is_dead(term);
        if self.packets().any(|packet| is_dead(packet)) {
            Arc::make_mut(&mut self.packets).retain(|(_, packet)| !is_dead(packet));
        }
    }
}

impl Packet {
    /// Whether its sender stands for election because its leader asked it to.
    pub fn stands_for_transfer(&self) -> bool {
        matches!(&self.content, Content::Message(Message::RequestVote(RequestVote { transfer: true, .. })))
    }

    /// Nobody reacts to an answer, or to a leader's `TimeoutNow`, of an older term; and a node that has
    /// `term` on disk is never again in an older one. Stale requests are different: they are answered.
    fn is_dead(&self, term: Term) -> bool {
        let Content::Message(message) = &self.content else { return false };
        match message {
            Message::RequestVote(_) | Message::Append(_) | Message::Heartbeat(_) => false,
            Message::Vote(Vote { pre: true, granted: true, term: asked }) => *asked <= term,
            _ => message.term() < term,
        }
    }
}

impl Hash for Network {
    fn hash<H: Hasher>(&self, to: &mut H) {
        for (key, _) in self.packets.iter() {
            key.hash(to);
        }
        self.packets.len().hash(to);
    }
}
