//! Questions to the leader, and what becomes of them when something fails.

use crate::peers::node::{Node, Plan, applied, status};
use bytes::Bytes;
use kontiki::api::remote::{Answer, NoAnswer, OtherNodes as _, Question};
use kontiki::kv::Put;
use kontiki::machine::{ClusterVersion, Command, Raise};
use kontiki::proto::v1;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use kontiki::reason::{Outcome, Reason};
use kontiki::types::{Index, NodeId};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tonic_types::StatusExt as _;

const LEADER: NodeId = NodeId(2);

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn command(value: &str) -> Bytes {
    Command::Put(Put { key: "k".into(), value: value.to_owned().into(), return_previous: false }).encode()
}

fn ask(node: &Node, question: Question) -> Result<Answer, NoAnswer> {
    node.block_on(node.peers.ask(LEADER, question, soon()))
}

#[test]
fn every_question_is_answered_by_its_kind() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    assert_eq!(ask(&one, Question::Propose(command("v"))), Ok(Answer::Applied(applied(1))));
    assert_eq!(two.listener.proposed.lock().unwrap()[..], [command("v")]);
    assert_eq!(ask(&one, Question::ReadIndex), Ok(Answer::ReadIndex(Index(1))));
    assert_eq!(ask(&one, Question::Transfer(None)), Ok(Answer::Leads(NodeId(3))));
    assert_eq!(one.block_on(one.peers.status(LEADER, soon())), Ok(status()));
}

#[test]
fn a_refusal_arrives_with_its_reason_and_outcome() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    two.listener.not_leader.store(true, Ordering::SeqCst);
    let Err(NoAnswer::Refused(fault)) = ask(&one, Question::Propose(command("v"))) else {
        panic!("it was not refused");
    };
    assert_eq!((fault.reason(), fault.outcome()), (Reason::NotLeader, Some(Outcome::NotApplied)));
}

/// Many concurrent reads cost the leader few questions.
#[test]
fn read_indexes_are_asked_for_together() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let reads: Vec<_> =
        (0..200).map(|_| one.spawn(one.peers.ask(LEADER, Question::ReadIndex, soon()))).collect();
    for read in reads {
        let answer = one.block_on(read).unwrap();
        assert!(matches!(answer, Ok(Answer::ReadIndex(index)) if index <= Index(10)), "{answer:?}");
    }
    assert!(two.listener.read_indexes.load(Ordering::SeqCst) <= 10);
}

/// The peer's URL leads to a node of another cluster: the question is never sent to it, and was certainly not done.
#[test]
fn a_stranger_is_told_no_command() {
    let plan = Plan::of(2);
    let mut others = Plan::at_the_same_addresses(&plan);
    others.cluster = kontiki::types::ClusterId(8);
    let (one, stranger) = (Node::started(&plan, 1), Node::started(&others, 2));
    let answer = ask(&one, Question::Propose(command("v")));
    let Err(NoAnswer::NotSent(why)) = answer else { panic!("{answer:?}") };
    assert!(why.contains("WRONG_CLUSTER"), "{why}");
    assert!(stranger.listener.proposed.lock().unwrap().is_empty());
}

/// The same for a node of this cluster that another one was taken for.
#[test]
fn only_the_node_that_was_meant_is_told() {
    let plan = Plan::of(3);
    let mut mistyped = Plan::at_the_same_addresses(&plan);
    mistyped.confuse(2, 3);
    let (one, three) = (Node::started(&mistyped, 1), Node::started(&plan, 3));
    let answer = ask(&one, Question::Propose(command("v")));
    let Err(NoAnswer::NotSent(why)) = answer else { panic!("{answer:?}") };
    assert!(why.contains("WRONG_RECIPIENT"), "{why}");
    assert!(three.listener.proposed.lock().unwrap().is_empty());
}

#[test]
fn what_nobody_takes_was_not_sent() {
    let plan = Plan::of(2);
    plan.leave(2);
    let one = Node::started(&plan, 1);
    let answer = ask(&one, Question::Propose(command("v")));
    assert!(matches!(&answer, Err(NoAnswer::NotSent(why)) if why.contains("refused")), "{answer:?}");
    let answer = one.block_on(one.peers.ask(NodeId(9), Question::ReadIndex, soon()));
    assert!(matches!(answer, Err(NoAnswer::NotSent(_))), "{answer:?}");
}

/// A leader that dies with a command leaves it open whether it was done; and the next
/// question finds the one that came back.
#[test]
fn a_stream_that_breaks_leaves_open_what_was_sent() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    two.listener.hangs.store(true, Ordering::SeqCst);
    let waiting = one.spawn(one.peers.ask(LEADER, Question::Propose(command("v")), soon()));
    while two.listener.proposed.lock().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(two);
    let answer = one.block_on(waiting).unwrap();
    assert!(matches!(answer, Err(NoAnswer::Lost(_))), "{answer:?}");

    let _two = Node::started(&plan, 2);
    assert_eq!(ask(&one, Question::Propose(command("w"))), Ok(Answer::Applied(applied(1))));
}

/// Clients that give up do no harm: no stream is reset for them, and others are answered.
#[test]
fn the_impatient_do_not_hurt_the_patient() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    two.listener.hangs.store(true, Ordering::SeqCst);
    let impatient = |number: u32| {
        let question = Question::Propose(command(&number.to_string()));
        let asking = one.peers.ask(LEADER, question, soon());
        let patience = Duration::from_millis(1 + u64::from(number % 5));
        one.spawn(async move { tokio::time::timeout(patience, asking).await })
    };
    for crowd in 0..20 {
        for gone in (0..100).map(|number| impatient(crowd * 100 + number)).collect::<Vec<_>>() {
            assert!(one.block_on(gone).unwrap().is_err(), "nobody answers them");
        }
        let patient = ask(&one, Question::ReadIndex);
        assert!(matches!(patient, Ok(Answer::ReadIndex(_))), "{patient:?}");
    }
}

/// One more than may be under way is refused at once, and a place is free again
/// when a question was answered.
#[test]
fn questions_are_bounded_in_number_and_bytes() {
    let mut plan = Plan::of(2);
    plan.settings.questions = 2;
    plan.settings.question_bytes = 100;
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let large = ask(&one, Question::Propose(command(&"v".repeat(101))));
    assert_eq!(large, Err(NoAnswer::Overloaded));
    two.listener.hangs.store(true, Ordering::SeqCst);
    let held = [0, 1].map(|_| one.spawn(one.peers.ask(LEADER, Question::Propose(command("v")), soon())));
    while two.listener.proposed.lock().unwrap().len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(ask(&one, Question::Propose(command("v"))), Err(NoAnswer::Overloaded));
    assert!(ask(&one, Question::ReadIndex).is_ok(), "reads do not share the fate of commands");
    drop(two);
    for held in held {
        assert!(matches!(one.block_on(held).unwrap(), Err(NoAnswer::Lost(_))));
    }
    let _two = Node::started(&plan, 2);
    assert!(ask(&one, Question::ReadIndex).is_ok());
}

/// What cannot be read as a command must never get into the log. It is refused alone: other questions are not to blame.
#[test]
fn what_is_no_command_is_not_proposed() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let refused = |answer: &Result<Answer, NoAnswer>, why: &str| {
        matches!(answer, Err(NoAnswer::Refused(fault))
            if fault.outcome() == Some(Outcome::NotApplied) && fault.message().contains(why))
    };
    let answer = ask(&one, Question::Propose(Bytes::from_static(b"\x63\x63")));
    assert!(refused(&answer, "not a command"), "{answer:?}");
    // A command, but only a leader proposes it by itself: every node would end that does not know the version.
    let raise = Command::Raise(Raise { version: ClusterVersion(999) }).encode();
    let answer = ask(&one, Question::Propose(raise));
    assert!(refused(&answer, "is to be raised"), "{answer:?}");
    assert!(two.listener.proposed.lock().unwrap().is_empty());
}

#[test]
fn a_client_that_came_to_the_wrong_listener_is_sent_to_the_right_one() {
    let plan = Plan::of(2);
    let one = Node::started(&plan, 1);
    let refused = one.block_on(async {
        let mut client = KvServiceClient::connect(plan.url(1)).await.unwrap();
        client.put(v1::PutRequest::default()).await.unwrap_err()
    });
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["outcome"]), ("WRONG_LISTENER", "NOT_APPLIED"));
    assert_eq!(info.metadata["client_url"], "http://clients-of-n1");
}
