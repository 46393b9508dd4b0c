//! What a leader believes of its followers, they have told it, in its own term (Raft §5.3): it counts nothing
//! that was said to another leader or in another term.

use kontiki::raft::{Node, RoleName};
use kontiki::types::{Index, NodeId, Term};
use std::collections::BTreeMap;

/// How far each follower has acknowledged, to whom and in which term.
#[derive(Debug, Default)]
pub struct Beliefs {
    acknowledged: BTreeMap<(NodeId, Term, NodeId), Index>,
}

impl Beliefs {
    /// An acknowledgement leaves a follower.
    pub fn acknowledged(&mut self, follower: NodeId, leader: NodeId, term: Term, matched: Index) {
        let known = self.acknowledged.entry((leader, term, follower)).or_default();
        *known = matched.max(*known);
    }

    /// A node has taken a step.
    pub fn check(&self, node: &Node) {
        if node.role() != RoleName::Leader {
            return;
        }
        let (id, term) = (node.id(), node.hard_state().term);
        for follower in node.followers() {
            let said = self.acknowledged.get(&(id, term, follower.node)).copied().unwrap_or_default();
            assert!(
                follower.matched <= said,
                "n{id} counts on {} at n{}, which has acknowledged {said} to it in term {term}",
                follower.matched,
                follower.node
            );
        }
    }
}
