//! Writes and reads on a node that does not lead. The leader is simulated: the node follows its heartbeats,
//! and the test answers its questions.

use super::node::{Node, get, put};
use kontiki::api::call::Call;
use kontiki::api::deadline::Deadline;
use kontiki::api::fault::Fault;
use kontiki::api::remote::{Answer, NoAnswer, Question, Responder};
use kontiki::kv::{Put, PutResult};
use kontiki::machine::{Command, CommandResult, Reply};
use kontiki::proto::v1;
use kontiki::raft::{Heartbeat, Message, Round};
use kontiki::reason::Reason;
use kontiki::replica::Applied;
use kontiki::types::{EntryId, Index, NodeId, Revision, Term};
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const LEADER: NodeId = NodeId(2);

/// A node that follows node 2.
async fn follower() -> Node {
    let node = Node::of_three().await;
    let handle = node.handle.clone();
    tokio::spawn(async move {
        for round in 1.. {
            let heartbeat = Heartbeat { term: Term(1_000), commit: Index(0), round: Round(round) };
            handle.deliver(LEADER, Message::Heartbeat(heartbeat));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    node.handle.watch_status().wait_for(|status| status.leader == Some(LEADER)).await.unwrap();
    node
}

/// What the leader answers when it has applied a put.
fn applied() -> Result<Answer, NoAnswer> {
    let reply = Reply { revision: Revision(42), result: CommandResult::Put(PutResult { previous: None }) };
    Ok(Answer::Applied(Applied { id: EntryId::new(1_000, 77), reply }))
}

fn refused(fault: Fault) -> Result<Answer, NoAnswer> {
    Err(NoAnswer::Refused(fault))
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}")).reason
}

fn outcome(status: &Status) -> String {
    status.get_details_error_info().unwrap().metadata["outcome"].clone()
}

#[tokio::test]
async fn the_leader_gets_the_checked_command_and_the_time_that_is_left() {
    let node = follower().await;
    node.peers.will_answer(applied());
    let mut request = Request::new(put("k", "v"));
    request.set_timeout(Duration::from_secs(5));
    let answer = node.kv().put(request).await.unwrap().into_inner();
    let header = answer.header.unwrap();
    assert_eq!((&*header.served_by, header.node_id, header.role()), ("n2", 2, v1::NodeRole::Leader));
    assert_eq!((header.revision, header.raft_term, header.applied_index), (42, 1_000, 77));

    let (asked, question, deadline) = node.peers.asked.lock().unwrap()[0].clone();
    let command = Command::Put(Put { key: "k".into(), value: "v".into(), return_previous: false });
    assert_eq!((asked, question), (LEADER, Question::Propose(command.encode())));
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    assert!(left < Duration::from_secs(5) && left > Duration::from_secs(1), "{left:?}");
}

#[tokio::test]
async fn bad_input_is_not_worth_the_way() {
    let node = follower().await;
    assert_eq!(reason(&node.kv().put(put("", "v")).await.unwrap_err()), "KEY_EMPTY");
    assert_eq!(node.peers.questions(), 0);
}

#[tokio::test]
async fn what_the_leader_refuses_passes_unchanged() {
    let fault = Fault::new(Reason::NoSpace, "the disk is full").not_applied();
    let expected: Status = fault.clone().into();
    let node = follower().await;
    node.peers.will_answer(refused(fault));
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (expected.code(), expected.message()));
    assert_eq!(refused.details(), expected.details());
    assert_eq!(refused.metadata().get("kontiki-write-outcome").unwrap(), "NOT_APPLIED");
}

/// The server tries again after temporary refusals that are certain; the client does not see them.
#[tokio::test]
async fn a_handover_is_waited_for() {
    let node = follower().await;
    for _ in 0..2 {
        node.peers.will_answer(refused(Fault::new(Reason::LeadershipTransfer, "in a moment").not_applied()));
    }
    node.peers.will_answer(applied());
    node.kv().put(put("k", "v")).await.unwrap();
    assert_eq!(node.peers.questions(), 3);
}

/// What may have been applied is never sent twice.
#[tokio::test]
async fn an_unknown_outcome_is_told_and_not_tried_again() {
    let node = follower().await;
    node.peers.will_answer(refused(Fault::new(Reason::LeadershipLost, "it may be applied").unknown()));
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!((reason(&refused), outcome(&refused)), ("LEADERSHIP_LOST".into(), "UNKNOWN".into()));
    assert_eq!(node.peers.questions(), 1);
}

#[tokio::test]
async fn a_leader_that_nobody_reaches_has_certainly_not_applied_it() {
    let node = follower().await;
    let begin = Instant::now();
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!((reason(&refused), outcome(&refused)), ("LEADER_UNREACHABLE".into(), "NOT_APPLIED".into()));
    assert!(refused.message().contains("n2, cannot be reached: the line is dead"), "{}", refused.message());
    assert!(begin.elapsed() < Duration::from_secs(5), "patience has an end before the deadline has");
    assert!(node.peers.questions() > 1, "it was tried again");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_open() {
    let node = follower().await;
    node.peers.will_answer(Err(NoAnswer::Lost("reset by the peer".into())));
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!((reason(&refused), outcome(&refused)), ("LEADER_UNREACHABLE".into(), "UNKNOWN".into()));
    assert_eq!(node.peers.questions(), 1, "it was sent once");
}

#[tokio::test]
async fn a_leader_that_is_silent_leaves_the_outcome_open_at_the_deadline() {
    let node = follower().await;
    node.peers.answers.lock().unwrap().push_back(None);
    // Not by a client, whose own clock might be faster.
    let call = Call::of_client(Deadline::after(Duration::from_millis(100)));
    let put = Put { key: "k".into(), value: "v".into(), return_previous: false };
    let fault = node.api.put(&call, put).await.unwrap_err();
    assert_eq!(
        (fault.reason(), fault.outcome()),
        (Reason::Deadline, Some(kontiki::reason::Outcome::Unknown))
    );
}

#[tokio::test]
async fn more_than_the_way_to_the_leader_takes_is_refused_at_once() {
    let node = follower().await;
    node.peers.will_answer(Err(NoAnswer::Overloaded));
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!((reason(&refused), outcome(&refused)), ("OVERLOADED".into(), "NOT_APPLIED".into()));
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test]
async fn what_another_node_forwards_goes_no_further() {
    let node = follower().await;
    let question = Question::Propose(
        Command::Delete(kontiki::kv::Delete {
            range: kontiki::kv::KeyRange::key("k"),
            return_previous: false,
        })
        .encode(),
    );
    let fault = node.api.clone().answer(question, Duration::from_secs(5)).await.unwrap_err();
    let refused = Status::from(fault);
    assert_eq!((reason(&refused), outcome(&refused)), ("NOT_LEADER".into(), "NOT_APPLIED".into()));
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((&*info.metadata["leader_id"], &*info.metadata["leader_url"]), ("2", "http://n2:2379"));
    assert_eq!(refused.metadata().get("kontiki-leader").unwrap(), "http://n2:2379");
    assert_eq!(node.peers.questions(), 0);
}

#[tokio::test]
async fn without_a_leader_writes_are_refused_soon_and_local_reads_go_on() {
    let node = Node::of_three().await;
    let begin = Instant::now();
    let refused = node.kv().put(put("k", "v")).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(3), "about an election timeout is waited");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!((reason(&refused), outcome(&refused)), ("NO_LEADER".into(), "NOT_APPLIED".into()));
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());

    assert_eq!(reason(&node.kv().get(get("k")).await.unwrap_err()), "NO_LEADER");
    let local = v1::GetRequest { read_level: v1::ReadLevel::Local.into(), ..get("k") };
    let header = node.kv().get(local).await.unwrap().into_inner().header.unwrap();
    assert_eq!((header.revision, &*header.served_by), (1, "n1"));
}

#[tokio::test]
async fn a_follower_reads_by_itself_once_the_leader_gave_an_index() {
    let node = follower().await;
    let refused = node.kv().get(get("k")).await.unwrap_err();
    assert_eq!(reason(&refused), "LEADER_UNREACHABLE");
    assert!(refused.message().contains("the line is dead"), "{}", refused.message());
    assert!(refused.message().contains("READ_LEVEL_LOCAL"), "{}", refused.message());

    node.peers.will_answer(Err(NoAnswer::Lost("a read may be asked for again".into())));
    node.peers.will_answer(Ok(Answer::ReadIndex(Index(0))));
    let header = node.kv().get(get("k")).await.unwrap().into_inner().header.unwrap();
    assert_eq!((&*header.served_by, header.read_level()), ("n1", v1::ReadLevel::Linearizable));
    assert_eq!(header.role(), v1::NodeRole::Follower);
}

/// One node shows how all are.
#[tokio::test]
async fn the_table_of_all_nodes_says_who_did_not_answer() {
    let (asking, asked) = (follower().await, Node::alone().await);
    asking.peers.statuses.lock().unwrap().insert(NodeId(2), asked.api.own_status());
    let nodes = asking.cluster().status(v1::StatusRequest::default()).await.unwrap().into_inner().nodes;
    assert_eq!((&*nodes[0].error, &*nodes[0].version), ("", "test"));
    assert_eq!((&*nodes[1].error, &*nodes[1].version), ("", "test"));
    assert!(nodes[2].error.contains("refused"), "{}", nodes[2].error);
}
