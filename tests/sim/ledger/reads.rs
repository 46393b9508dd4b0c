//! Read indexes (thesis §6.4): one that was confirmed covers everything that was
//! committed, and so everything that was acknowledged, before it was asked for; and a
//! majority has said since then that it still follows.

use crate::sim::front::CallId;
use kontiki::raft::Members;
use kontiki::types::{Index, NodeId, Term};
use std::collections::BTreeMap;

/// The reads that wait, with what was committed when they began.
#[derive(Debug, Default)]
pub struct Reads {
    waiting: BTreeMap<CallId, Asked>,
    /// When each follower last answered a leader's heartbeat, by leader and term.
    answers: BTreeMap<(NodeId, Term), BTreeMap<NodeId, u64>>,
    /// Counts what happens here.
    moment: u64,
    pub confirmed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    floor: Index,
    moment: u64,
}

impl Reads {
    /// A leader, as it believes, was asked.
    pub fn asked(&mut self, call: CallId, committed: Index) {
        self.moment += 1;
        self.waiting.insert(call, Asked { floor: committed, moment: self.moment });
    }

    /// The answer to a heartbeat leaves a follower.
    pub fn answered(&mut self, follower: NodeId, leader: NodeId, term: Term) {
        self.moment += 1;
        self.answers.entry((leader, term)).or_default().insert(follower, self.moment);
    }

    /// It was confirmed.
    pub fn given(&mut self, call: CallId, index: Index, leader: NodeId, members: &Members) {
        let Asked { floor, moment } = self.waiting.remove(&call).expect("it was asked for");
        assert!(index >= floor, "a read was confirmed at {index}, but {floor} was committed before it began");
        // It may have led in one term only while the read waited, whichever that was.
        let alone = members.is_quorum(|voter| voter == leader);
        let mut terms = self.answers.range((leader, Term(0))..=(leader, Term(u64::MAX)));
        let confirmed = terms.any(|(_, answers)| {
            members.is_quorum(|voter| {
                voter == leader || answers.get(&voter).is_some_and(|answered| *answered > moment)
            })
        });
        assert!(
            alone || confirmed,
            "n{leader} confirms a read, but no majority has answered it since the read began"
        );
        self.confirmed += 1;
    }
}
