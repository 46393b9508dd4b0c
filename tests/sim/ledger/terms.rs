//! Election safety (Raft §5.2): at most one leader per term, at most one vote
//! per node and term. The ledger outlives restarts.

use crate::sim::ledger::Held;
use kontiki::raft::{HardState, Node};
use kontiki::types::{NodeId, Term};
use std::collections::BTreeMap;

/// Who led and who voted, ever.
#[derive(Debug, Default)]
pub struct Terms {
    leaders: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// The highest term and its vote that each node made durable.
    written: BTreeMap<NodeId, HardState>,
}

impl Terms {
    /// A node leads. True if that is news.
    pub fn leads(&mut self, id: NodeId, term: Term) -> bool {
        match self.leaders.get(&term) {
            Some(known) => {
                assert_eq!(*known, id, "two leaders in term {term} (election safety)");
                false
            }
            None => {
                self.leaders.insert(term, id);
                true
            }
        }
    }

    /// A node was elected: a majority has said so. Its own vote needs no message, only its disk.
    pub fn check_elected(&self, node: &Node, own: Option<&Held>) {
        let (id, term) = (node.id(), node.hard_state().term);
        let has_own = own.is_some_and(|held| held.hard_state == HardState { term, vote: Some(id) });
        let voted = |voter| self.votes.get(&(voter, term)) == Some(&id) || voter == id && has_own;
        assert!(
            node.members().is_quorum(voted),
            "n{id} leads in term {term}, but was elected by no majority (election safety)"
        );
    }

    /// A vote has left a node.
    pub fn voted(&mut self, id: NodeId, term: Term, candidate: NodeId) {
        let known = *self.votes.entry((id, term)).or_insert(candidate);
        assert_eq!(known, candidate, "n{id} voted twice in term {term} (one vote per term)");
    }

    /// A node's disk has it.
    pub fn written(&mut self, id: NodeId, hard_state: HardState) {
        let before = self.written.insert(id, hard_state).unwrap_or_default();
        assert!(hard_state.term >= before.term, "n{id} wrote term {} after {}", hard_state.term, before.term);
        if hard_state.term == before.term && before.vote.is_some() {
            assert_eq!(hard_state.vote, before.vote, "n{id} wrote another vote in term {}", before.term);
        }
    }

    /// A node begins with this. It may be behind what was written and not yet synced, but never behind what was sent.
    pub fn restored(&mut self, id: NodeId, hard_state: HardState) {
        if let Some(vote) = hard_state.vote {
            let said = self.votes.get(&(id, hard_state.term));
            assert!(
                said.is_none_or(|said| *said == vote),
                "n{id} voted for {said:?} in term {}, but begins with a vote for {vote}",
                hard_state.term
            );
        } else {
            let said = self.votes.get(&(id, hard_state.term));
            assert_eq!(said, None, "n{id} forgot its vote in term {}", hard_state.term);
        }
        let later = self.votes.range((id, hard_state.term.next())..=(id, Term(u64::MAX))).next();
        assert_eq!(later, None, "n{id} begins in term {} and forgot a later vote", hard_state.term);
        self.written.insert(id, hard_state);
    }

    pub fn leader_changes(&self) -> u64 {
        self.leaders.len() as u64
    }
}
