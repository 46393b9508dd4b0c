//! Who takes part in decisions, and what a majority of them is.

use crate::types::{Index, NodeId};
use std::collections::BTreeSet;

/// The members of a cluster at a place in the log.
///
/// While a change is under way (`outgoing` is not empty) every decision needs
/// a majority of both sets of voters: joint consensus, Raft §6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Members {
    /// Nodes with a vote.
    pub voters: BTreeSet<NodeId>,
    /// The voters of the configuration that is being left.
    pub outgoing: BTreeSet<NodeId>,
    /// Nodes that receive the log without a vote (thesis §4.2.1).
    pub learners: BTreeSet<NodeId>,
}

/// The state of a vote count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A majority said yes.
    Won,
    /// A majority can no longer be reached.
    Lost,
    /// Neither yet.
    Open,
}

impl Members {
    /// Members that are all voters.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { voters: voters.into_iter().collect(), ..Self::default() }
    }

    /// Every node that receives the log, in order of id, each once.
    pub fn all(&self) -> impl Iterator<Item = NodeId> {
        let mut all: Vec<NodeId> =
            self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// Whether the node has a vote.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether the node receives the log.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(&node)
    }

    /// How a vote stands: `answer` says what a voter said, if it did.
    pub fn tally(&self, answer: impl Fn(NodeId) -> Option<bool>) -> Tally {
        let incoming = tally(&self.voters, &answer);
        if self.outgoing.is_empty() {
            return incoming;
        }
        match (incoming, tally(&self.outgoing, &answer)) {
            (Tally::Won, Tally::Won) => Tally::Won,
            (Tally::Lost, _) | (_, Tally::Lost) => Tally::Lost,
            _ => Tally::Open,
        }
    }

    /// Whether the nodes for which `is_in` holds are enough to decide.
    pub fn is_quorum(&self, is_in: impl Fn(NodeId) -> bool) -> bool {
        self.tally(|node| Some(is_in(node))) == Tally::Won
    }

    /// The highest index that a majority has reached, by `matched` of each voter.
    pub fn quorum_index(&self, matched: impl Fn(NodeId) -> Index) -> Index {
        let incoming = quorum_index(&self.voters, &matched);
        if self.outgoing.is_empty() {
            return incoming;
        }
        incoming.min(quorum_index(&self.outgoing, &matched))
    }
}

/// The smallest number of `n` voters that any other such number overlaps.
pub fn majority(n: usize) -> usize {
    n / 2 + 1
}

fn tally(voters: &BTreeSet<NodeId>, answer: impl Fn(NodeId) -> Option<bool>) -> Tally {
    let needed = majority(voters.len());
    let yes = voters.iter().filter(|voter| answer(**voter) == Some(true)).count();
    let no = voters.iter().filter(|voter| answer(**voter) == Some(false)).count();
    if yes >= needed {
        Tally::Won
    } else if voters.len() - no < needed {
        Tally::Lost
    } else {
        Tally::Open
    }
}

fn quorum_index(voters: &BTreeSet<NodeId>, matched: impl Fn(NodeId) -> Index) -> Index {
    let mut reached: Vec<Index> = voters.iter().map(|voter| matched(*voter)).collect();
    reached.sort_unstable_by(|a, b| b.cmp(a));
    // No voters decide nothing.
    reached.get(majority(voters.len()) - 1).copied().unwrap_or_default()
}
