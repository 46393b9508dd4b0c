//! The durability ledger: what a message says about its sender (a vote, an
//! acknowledgement, a term) must already be on the sender's disk, or a power cut could make it false.

use crate::sim::ledger::Held;
use kontiki::raft::{Message, Node, RequestVote, Vote};
use kontiki::types::{EntryId, NodeId};

/// Checks a message. Returns whom it is a vote for, if it binds its sender at all: `Some(None)` is a binding
/// statement that is not a vote.
pub fn check(node: &Node, message: &Message, held: &Held) -> Option<Option<NodeId>> {
    let id = node.id();
    match message {
        // Pre-votes and their answers are not binding.
        Message::RequestVote(RequestVote { pre: true, .. })
        | Message::Vote(Vote { pre: true, granted: true, .. }) => return None,
        _ => {}
    }
    let term = message.term();
    assert!(
        held.hard_state.term >= term,
        "n{id} speaks of term {term} before it is durable (there: {:?}): {message:?}",
        held.hard_state
    );
    match message {
        Message::RequestVote(_) => {
            let own = held.hard_state.term > term || held.hard_state.vote == Some(id);
            assert!(own, "n{id} stands in term {term} before its own vote is durable");
            Some(Some(id))
        }
        Message::Accepted { matched, .. } => {
            let claimed = node.term_at(*matched).map(|term| EntryId { term, index: *matched });
            // Below the base it is part of the state.
            let kept = match claimed {
                Some(claimed) => super::commits::holds(held, claimed),
                None => *matched <= held.applied.index.max(held.log.base.index),
            };
            assert!(
                kept,
                "n{id} acknowledges {matched} before it is durable: its disk ends at {}, its state at {}",
                held.log.last, held.applied
            );
            Some(None)
        }
        _ => Some(None),
    }
}

/// Checks a vote. True if the message gives one.
pub fn check_vote(id: NodeId, message: &Message, to: NodeId, held: &Held) -> bool {
    let Message::Vote(Vote { pre: false, granted: true, term }) = message else { return false };
    let durable = held.hard_state;
    assert!(
        durable.term > *term || (durable.term == *term && durable.vote == Some(to)),
        "n{id} votes for {to} in term {term} before that is durable (there: {durable:?})"
    );
    true
}
