//! The invariants across servers, checked after every step.

use crate::raft::disk::{Disk, State};
use kontiki::raft::{Message, Node, ReadOutcome, ReadToken, RequestVote, RoleName, Vote};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;

/// Remembers what was once true of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    leaders: BTreeMap<Term, NodeId>,
    /// The entries that some leader has committed, from index 1 on, each with that leader's term.
    committed: Vec<(EntryId, Term)>,
    /// How much of it has been compared with each server in its current life.
    compared: BTreeMap<NodeId, Index>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// The state's hash at each index, by whoever was there first.
    hashes: BTreeMap<Index, u64>,
    /// What was committed when a read began.
    reads: BTreeMap<ReadToken, Index>,
}

impl Checker {
    /// What is committed, as the cluster as a whole would know it.
    pub fn committed(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    fn committed_at(&self, index: Index) -> Option<EntryId> {
        let place = usize::try_from(index.0).expect("small").checked_sub(1)?;
        self.committed.get(place).map(|(id, _)| *id)
    }

    /// A server begins with a hand-made state.
    pub fn assume(&mut self, disk: &Disk) {
        for entry in &disk.log.entries {
            let next = self.committed().next();
            if entry.id.index == next && next <= disk.state.applied.index {
                self.committed.push((entry.id, entry.id.term));
            }
        }
        self.hashes.insert(disk.state.applied.index, disk.state.hash);
    }

    pub fn started(&mut self, id: NodeId) {
        self.compared.remove(&id);
    }

    /// After a step of `node`. `disks` are those of all servers.
    pub fn observe<'a>(&mut self, node: &Node, disks: impl Fn(NodeId) -> &'a Disk) {
        if node.role() == RoleName::Leader {
            self.observe_leader(node);
        }
        let is_empty = node.base() == node.last();
        assert_eq!(node.tail_bytes() == 0, is_empty, "n{}: a tail of {} bytes", node.id(), node.tail_bytes());
        let from = self.compared.get(&node.id()).copied().unwrap_or_default().max(node.base().index);
        if node.commit() > from {
            if node.commit() > self.committed() {
                self.observe_commit(node, disks);
            }
            for index in (from.0 + 1..=node.commit().0).map(Index) {
                let term = node.term_at(index).expect("committed and above the base");
                assert_eq!(
                    self.committed_at(index),
                    Some(EntryId { term, index }),
                    "n{} has another committed entry (state machine safety)",
                    node.id()
                );
            }
            self.compared.insert(node.id(), node.commit());
        }
    }

    /// Election safety and leader completeness (Raft figure 3).
    fn observe_leader(&mut self, node: &Node) {
        let term = node.hard_state().term;
        if let Some(known) = self.leaders.get(&term) {
            assert_eq!(*known, node.id(), "two leaders in t{term} (election safety)");
            return;
        }
        self.leaders.insert(term, node.id());
        // A late winner of an election need not know what a later term has committed.
        let due =
            |(id, committed_in): &&(EntryId, Term)| *committed_in <= term && id.index >= node.base().index;
        for (id, _) in self.committed.iter().filter(due) {
            let here = node.term_at(id.index);
            assert_eq!(here, Some(id.term), "n{} leads without {id} (leader completeness)", node.id());
        }
    }

    /// A leader commits more than anyone before.
    fn observe_commit<'a>(&mut self, node: &Node, disks: impl Fn(NodeId) -> &'a Disk) {
        assert_eq!(node.role(), RoleName::Leader, "n{} commits what no leader committed", node.id());
        let own = node.term_at(node.commit());
        assert_eq!(own, Some(node.hard_state().term), "committed by counting an older term (figure 8)");
        for index in (self.committed().0 + 1..=node.commit().0).map(Index) {
            let id = EntryId { term: node.term_at(index).expect("above the base"), index };
            let durable = |voter| disks(voter).holds(id);
            assert!(node.members().is_quorum(durable), "{id} is committed but not durable on a majority");
            self.committed.push((id, node.hard_state().term));
        }
    }

    /// Two servers with the same entry have the same entries before it (log matching).
    pub fn compare(&self, one: &Node, other: &Node) {
        let low = one.base().index.max(other.base().index);
        let high = one.last().index.min(other.last().index);
        let mut equal = false;
        for index in (low.0..=high.0).rev().map(Index) {
            let (a, b) = (one.term_at(index), other.term_at(index));
            equal |= a == b;
            assert!(!equal || a == b, "n{} and n{} match above {index} but not there", one.id(), other.id());
        }
    }

    /// A message leaves `from`: what it states must be on disk.
    pub fn sent(&mut self, from: NodeId, message: &Message, disk: &Disk) {
        let hard_state = disk.hard_state;
        let term = message.term();
        let vote = match message {
            Message::RequestVote(RequestVote { pre: false, .. }) => Some(from),
            Message::Vote(Vote { pre: false, granted: true, .. }) => None, // See `voted`.
            Message::RequestVote(_) | Message::Vote(Vote { pre: true, granted: true, .. }) => return,
            _ => None,
        };
        assert!(hard_state.term >= term, "n{from} speaks of t{term} before it is durable: {message:?}");
        if let Some(vote) = vote {
            self.voted(from, term, vote, disk);
        }
        if let Message::Accepted { matched, .. } = message {
            assert!(disk.reaches(*matched), "n{from} acknowledges {matched} before it is durable");
        }
    }

    /// A vote leaves `from`.
    pub fn voted(&mut self, from: NodeId, term: Term, candidate: NodeId, disk: &Disk) {
        let known = *self.votes.entry((from, term)).or_insert(candidate);
        assert_eq!(known, candidate, "n{from} voted twice in t{term}");
        let durable = disk.hard_state;
        assert!(
            durable.term > term || (durable.term == term && durable.vote == Some(candidate)),
            "n{from} votes in t{term} before the vote is durable"
        );
    }

    /// A state machine has applied an entry, or was replaced.
    pub fn applied(&mut self, id: NodeId, state: &State) {
        let known = *self.hashes.entry(state.applied.index).or_insert(state.hash);
        assert_eq!(known, state.hash, "n{id} has another state at {}", state.applied);
    }

    pub fn read_begins(&mut self, token: ReadToken) {
        self.reads.insert(token, self.committed());
    }

    /// A read sees all that was acknowledged before it began (linearizability).
    pub fn read_ends(&mut self, outcome: &ReadOutcome) {
        let (ReadOutcome::Ready { token, .. } | ReadOutcome::Lost { token }) = outcome;
        let floor = self.reads.remove(token).expect("each read ends once");
        if let ReadOutcome::Ready { index, .. } = outcome {
            assert!(*index >= floor, "read {} at {index} misses {floor}", token.0);
        }
    }
}
