//! State machine safety (Raft §5.4): what is committed is durable on a quorum,
//! and stays forever, at its place, in the log of every leader to come.

use crate::sim::ledger::Held;
use crate::sim::ledger::lives::Life;
use kontiki::raft::{Node, RoleName};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;

/// What some leader has committed, from index 1 on.
#[derive(Debug, Default)]
pub struct Commits {
    committed: Vec<EntryId>,
    /// The term of the leader that committed each.
    by: Vec<Term>,
}

impl Commits {
    /// The last committed index of the cluster as a whole.
    pub fn through(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    /// The entry at a committed place.
    pub fn at(&self, index: Index) -> Option<EntryId> {
        let place = usize::try_from(index.0).expect("small").checked_sub(1)?;
        self.committed.get(place).copied()
    }

    /// From a place on.
    pub fn from(&self, index: Index) -> &[EntryId] {
        let place = usize::try_from(index.0).expect("small").saturating_sub(1);
        self.committed.get(place..).unwrap_or_default()
    }

    /// Leader completeness (Raft §5.4): checked when a leader is first seen. A leader of an earlier term that
    /// does not know yet that it was deposed need not have what a later term committed.
    pub fn check_complete(&self, node: &Node) {
        let place = usize::try_from(node.base().index.0).expect("small").saturating_sub(1);
        let by = self.by.get(place..).unwrap_or_default();
        let earlier = self.from(node.base().index).iter().zip(by);
        for (id, _) in earlier.filter(|(_, term)| **term < node.hard_state().term) {
            let here = node.term_at(id.index);
            assert_eq!(here, Some(id.term), "n{} leads without {id} (leader completeness)", node.id());
        }
    }

    /// What a node believes to be committed, where that has grown.
    pub fn compare(&mut self, node: &Node, life: &mut Life, held: &BTreeMap<NodeId, Held>) {
        let from = life.commit_seen.max(node.base().index);
        if node.commit() <= from {
            life.commit_seen = from;
            return;
        }
        if node.commit() > self.through() {
            // It may have committed and stepped down within one turn.
            let leads = (node.role() == RoleName::Leader).then(|| node.hard_state().term);
            self.grow(node, leads.or(life.led), held);
        }
        for index in (from.0 + 1..=node.commit().0).map(Index) {
            let term = node.term_at(index).expect("committed and above the base");
            let here = EntryId { term, index };
            let id = node.id();
            assert_eq!(
                self.at(index),
                Some(here),
                "n{id} has another committed entry (state machine safety)"
            );
        }
        life.commit_seen = node.commit();
    }

    /// A leader commits more than anyone before.
    fn grow(&mut self, node: &Node, led: Option<Term>, held: &BTreeMap<NodeId, Held>) {
        let id = node.id();
        assert!(led.is_some(), "n{id} commits what no leader committed");
        let own = node.term_at(node.commit());
        assert_eq!(own, led, "n{id} commits by counting an older term (figure 8)");
        for index in (self.through().0 + 1..=node.commit().0).map(Index) {
            let entry = EntryId { term: node.term_at(index).expect("above the base"), index };
            let is_held = |voter: NodeId| held.get(&voter).is_some_and(|held| holds(held, entry));
            assert!(
                node.members().is_quorum(is_held),
                "{entry} is committed by n{id} but not durable on a quorum: {:?}",
                held.iter().map(|(voter, held)| (voter.0, holds(held, entry))).collect::<Vec<_>>()
            );
            self.committed.push(entry);
            self.by.push(led.unwrap_or_default());
        }
    }
}

/// Whether an entry would survive a power cut, in the log or as part of the state.
pub fn holds(held: &Held, id: EntryId) -> bool {
    id.index <= held.applied.index || held.log.covers(id)
}
