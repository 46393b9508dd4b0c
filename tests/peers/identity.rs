//! Strangers are refused, each with a reason that names what differs.

use crate::peers::node::{Heard, Node, Plan, heartbeat};
use bytes::Bytes;
use kontiki::peers::{PeerRefusal, RefusalKind};
use kontiki::proto::raft as pb;
use kontiki::replica::Transport as _;
use kontiki::types::NodeId;
use std::time::Duration;

#[test]
fn each_difference_has_its_own_reason() {
    let plan = Plan::of(2);
    let one = Node::started(&plan, 1);
    let good = plan.identity(2).sender(NodeId(1));
    let differ = |change: fn(&mut pb::Sender)| {
        let mut sender = good.clone();
        change(&mut sender);
        sender
    };
    let call = |sender: Option<pb::Sender>| {
        one.block_on(async {
            plan.client(1).await.introduce(pb::IntroduceRequest { sender, founders: Vec::new() }).await
        })
    };

    let answer = call(Some(good.clone())).unwrap().into_inner();
    assert_eq!(answer.sender, Some(plan.identity(1).sender(NodeId(2))), "both say who they are");

    let cases = [
        (
            differ(|sender| sender.cluster_id = 8),
            RefusalKind::WrongCluster,
            "is of another cluster than \"n1\"",
        ),
        (differ(|sender| sender.recipient_id = 2), RefusalKind::WrongRecipient, "this is node 1 (\"n1\")"),
        (differ(|sender| sender.node_id = 9), RefusalKind::UnknownMember, "node 9"),
        (differ(|sender| sender.node_id = 1), RefusalKind::UnknownMember, "not one of the other members"),
        (
            differ(|sender| sender.settings_fingerprint = 2),
            RefusalKind::SettingsDiffer,
            "does not say in which",
        ),
        (
            differ(|sender| sender.cluster_version = 0),
            RefusalKind::VersionTooOld,
            "the cluster has version 1",
        ),
        (
            differ(|sender| sender.directory_id = 5),
            RefusalKind::MemberWiped,
            "Bring its old data directory back",
        ),
        (differ(|sender| sender.directory_id = 0), RefusalKind::UnknownMember, "no data directory id"),
        (differ(|sender| sender.name = "n".repeat(5000)), RefusalKind::UnknownMember, "limit 64"),
    ];
    for (sender, reason, text) in cases {
        let status = call(Some(sender)).unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        let refusal = PeerRefusal::of(&status).expect("carries its reason");
        assert_eq!(refusal.kind, reason);
        assert!(refusal.text.contains(text), "{refusal}");
    }
    assert_eq!(PeerRefusal::of(&call(None).unwrap_err()).unwrap().kind, RefusalKind::UnknownMember);
}

#[test]
fn a_refusal_for_settings_names_those_that_differ() {
    let plan = Plan::of(2);
    let _one = Node::started(&plan, 1);
    let mut other = Plan::at_the_same_addresses(&plan);
    other.heartbeat_ms = 80;
    let two = Node::serving(&plan, 2);
    let said = |sender: pb::Sender| {
        let request = pb::IntroduceRequest { sender: Some(sender), founders: Vec::new() };
        let status = two.block_on(async { plan.client(1).await.introduce(request).await.unwrap_err() });
        let refusal = PeerRefusal::of(&status).unwrap();
        assert_eq!(refusal.kind, RefusalKind::SettingsDiffer);
        refusal.text
    };
    let mut sender = other.identity(2).sender(NodeId(1));
    assert_eq!(
        said(sender.clone()),
        "all members must share these settings: heartbeat-ms is 80 at \"n2\" and 50 at \"n1\""
    );
    sender.shared_settings[1] = pb::SharedSetting { name: "pulse\n".into(), value: 7 };
    assert_eq!(
        said(sender.clone()),
        "all members must share these settings: heartbeat-ms is 50 at \"n1\" and not known to \"n2\", \
         pulse\\n is 7 at \"n2\" and not known to \"n1\""
    );
    // However much a stranger says, little is repeated. (More than 64 KiB of it would not even be read.)
    sender.shared_settings = vec![pb::SharedSetting { name: "s".repeat(64), value: 7 }; 700];
    assert!(said(sender).len() < 5_000);
}

/// Every call is guarded, not only the first.
#[test]
fn no_call_of_a_stranger_reaches_the_replica() {
    let plan = Plan::of(2);
    let one = Node::started(&plan, 1);
    let mut stranger = plan.identity(2).sender(NodeId(1));
    stranger.cluster_id = 8;
    let sender = || Some(stranger.clone());
    let statuses = one.block_on(async {
        let mut client = plan.client(1).await;
        let last = Some(pb::EntryId { term: 0, index: 0 });
        let vote = pb::RequestVoteRequest { sender: sender(), term: 1, last, ..Default::default() };
        let hello = pb::append_entries_request::Message::Hello(stranger.clone());
        let stream = tokio_stream::iter([pb::AppendEntriesRequest { message: Some(hello) }]);
        let hello = pb::forward_request::Message::Hello(stranger.clone());
        let question = pb::Question {
            id: 1,
            timeout_micros: 1_000_000,
            body: Some(pb::question::Body::Propose(Bytes::from_static(b"a command"))),
        };
        let question = pb::forward_request::Message::Question(question);
        let questions = tokio_stream::iter(
            [hello, question].map(|message| pb::ForwardRequest { message: Some(message) }),
        );
        let header = pb::SnapshotHeader { sender: sender(), ..Default::default() };
        let header = pb::install_snapshot_request::Message::Header(header);
        let snapshot = tokio_stream::iter([pb::InstallSnapshotRequest { message: Some(header) }]);
        [
            client.request_vote(vote).await.unwrap_err(),
            client.timeout_now(pb::TimeoutNowRequest { sender: sender(), term: 1 }).await.unwrap_err(),
            client.forward(questions).await.unwrap_err(),
            client.append_entries(stream).await.unwrap_err(),
            client.install_snapshot(snapshot).await.unwrap_err(),
        ]
    });
    for status in statuses {
        assert_eq!(
            PeerRefusal::of(&status).map(|refusal| refusal.kind),
            Some(RefusalKind::WrongCluster),
            "{status}"
        );
    }
    assert_eq!(one.listener.count(|_| true), 0);
    assert!(one.listener.proposed.lock().unwrap().is_empty());
}

/// A member whose directory was replaced is refused in both directions, also
/// where it is the one that is dialled.
#[test]
fn a_wiped_member_is_not_spoken_to() {
    let mut plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.send_until_heard(&two, &heartbeat(1));
    drop(two);
    one.listener.wait_for(&Heard::Lost(NodeId(2)));

    plan.directories.insert(2, 999);
    let wiped = Node::started(&plan, 2);
    for round in 2..50 {
        one.peers.send(wiped.id, heartbeat(round));
        wiped.peers.send(one.id, heartbeat(round));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(wiped.listener.count(|heard| matches!(heard, Heard::Message(..))), 0);
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Message(..))), 0);
}
