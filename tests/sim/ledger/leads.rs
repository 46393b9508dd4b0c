//! Check-quorum (thesis §6.2): a leader that has not heard from a majority for two election timeouts of its
//! own clock does not lead any more. Another may have been elected, and as long as the old one sends
//! heartbeats, those who hear it elect nobody.

use kontiki::raft::{Node, RoleName};
use kontiki::types::{NodeId, Term};
use std::collections::BTreeMap;

/// Which process has heard from which.
#[derive(Debug, Default)]
pub struct Leads {
    ears: BTreeMap<NodeId, Ears>,
}

/// What one process has heard since it began.
#[derive(Debug, Default)]
struct Ears {
    /// Ticks of its clock.
    ticks: u64,
    /// When each peer last said anything to it.
    heard: BTreeMap<NodeId, u64>,
    /// When it was first seen to lead, and in which term.
    leads: Option<(Term, u64)>,
}

impl Leads {
    /// A process begins.
    pub fn started(&mut self, id: NodeId) {
        self.ears.insert(id, Ears::default());
    }

    /// A message reaches a process.
    pub fn heard(&mut self, id: NodeId, from: NodeId) {
        let ears = self.ears.entry(id).or_default();
        ears.heard.insert(from, ears.ticks);
    }

    /// A node's clock has ticked, and it has taken its turn.
    pub fn ticked(&mut self, node: &Node, election_ticks: u32) {
        let id = node.id();
        let ears = self.ears.entry(id).or_default();
        ears.ticks += 1;
        if node.role() != RoleName::Leader {
            ears.leads = None;
            return;
        }
        let (term, now) = (node.hard_state().term, ears.ticks);
        let since = match ears.leads {
            Some((known, since)) if known == term => since,
            _ => now,
        };
        ears.leads = Some((term, since));
        // It checks once per election timeout, so the silence must be longer than two.
        let silence = 2 * u64::from(election_ticks) + 1;
        let lately = |voter| {
            voter == id || ears.heard.get(&voter).is_some_and(|heard| now.saturating_sub(*heard) <= silence)
        };
        assert!(
            now - since <= silence || node.members().is_quorum(lately),
            "n{id} still leads in term {term}, but has heard from no majority for {silence} ticks"
        );
    }
}
