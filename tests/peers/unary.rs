//! Votes and transfers.

use crate::peers::node::{Heard, Node, Plan};
use kontiki::raft::{Message, RequestVote, Vote};
use kontiki::replica::Transport as _;
use kontiki::types::{EntryId, NodeId, Term};
use std::sync::atomic::Ordering;

fn question(term: u64, pre: bool) -> RequestVote {
    RequestVote { term: Term(term), last: EntryId::new(1, 9), pre, transfer: false }
}

/// A vote request is a call; the core's vote, given later by a message of its
/// own, is its answer.
#[test]
fn a_vote_answers_the_call_that_asked() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    for (term, pre) in [(2, true), (2, false)] {
        let asked = question(term, pre);
        assert!(one.peers.send(two.id, Message::RequestVote(asked)));
        two.listener.wait_for(&Heard::Message(NodeId(1), Message::RequestVote(asked)));
        let vote = Vote { term: Term(term), granted: true, pre };
        one.listener.wait_for(&Heard::Message(NodeId(2), Message::Vote(vote)));
    }
}

/// The vote for an older question, or of the other kind, does not answer a
/// newer one.
#[test]
fn an_old_vote_does_not_answer_a_new_question() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    two.listener.votes_by_hand.store(true, Ordering::SeqCst);
    let asked = question(5, false);
    assert!(one.peers.send(two.id, Message::RequestVote(asked)));
    two.listener.wait_for(&Heard::Message(NodeId(1), Message::RequestVote(asked)));
    let vote = |term, pre| Vote { term: Term(term), granted: true, pre };
    for vote in [vote(4, false), vote(5, true), vote(5, false)] {
        assert!(two.peers.send(one.id, Message::Vote(vote)));
    }
    one.listener.wait_for(&Heard::Message(NodeId(2), Message::Vote(vote(5, false))));
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Message(_, Message::Vote(_)))), 1);
    // Nobody asks any more. That does not count as losing the peer, and is not reported.
    assert!(two.peers.send(one.id, Message::Vote(vote(5, false))));
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Message(_, Message::Vote(_)))), 1);
}

/// Where nobody answers, questions do not pile up.
#[test]
fn unanswered_questions_are_bounded() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    two.listener.votes_by_hand.store(true, Ordering::SeqCst);
    let accepted =
        (2..100).filter(|term| one.peers.send(two.id, Message::RequestVote(question(*term, false))));
    assert_eq!(accepted.count(), 8);
}

#[test]
fn leadership_is_handed_over() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let message = Message::TimeoutNow { term: Term(3) };
    assert!(one.peers.send(two.id, message.clone()));
    two.listener.wait_for(&Heard::Message(NodeId(1), message));
    assert!(!one.peers.send(NodeId(9), Message::TimeoutNow { term: Term(3) }), "no such peer");
}
