//! The connections follow the members in the log.

use crate::peers::node::{Heard, Node, Plan, heartbeat};
use bytes::Bytes;
use kontiki::api::remote::{Answer, NoAnswer, OtherNodes as _, Question};
use kontiki::member::Member;
use kontiki::peers::{PeerRefusal, RefusalKind};
use kontiki::proto::raft as pb;
use kontiki::raft::{Members, Message, RequestVote, SnapshotMeta};
use kontiki::replica::{Snapshot, Transport as _};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The plan's members, without one.
fn without(plan: &Plan, node: u64) -> Arc<Members> {
    Arc::new(Members::founding(plan.members().into_iter().filter(|member| member.id != NodeId(node))))
}

#[test]
fn a_removed_member_is_disconnected_and_a_member_again_is_connected() {
    let plan = Plan::of(3);
    let (one, two, three) = (Node::started(&plan, 1), Node::started(&plan, 2), Node::started(&plan, 3));
    one.send_until_heard(&three, &heartbeat(1));
    three.send_until_heard(&one, &heartbeat(2));

    one.members.send_replace(without(&plan, 3));
    three.listener.wait_for(&Heard::Lost(NodeId(1)));
    assert!(!one.peers.send(three.id, heartbeat(3)), "nothing is kept for it");
    let sender = Some(plan.identity(3).sender(NodeId(1)));
    let request = pb::IntroduceRequest { sender, founders: Vec::new() };
    let status = one.block_on(async { plan.client(1).await.introduce(request).await.unwrap_err() });
    assert_eq!(PeerRefusal::of(&status).unwrap().kind, RefusalKind::UnknownMember);
    one.send_until_heard(&two, &heartbeat(4));

    one.members.send_replace(Arc::new(Members::founding(plan.members())));
    one.send_until_heard(&three, &heartbeat(5));
    three.send_until_heard(&one, &heartbeat(6));
    assert_eq!(one.peers.supported().count(), 3);
}

#[test]
fn a_peer_is_dialled_at_its_url_in_the_log() {
    let plan = Plan::of(3);
    let mut of_before = Plan::at_the_same_addresses(&plan);
    of_before.confuse(2, 3);
    // What it was told leads to another node.
    let (one, two) = (Node::started(&of_before, 1), Node::started(&plan, 2));
    let _three = Node::started(&plan, 3);
    one.members.send_replace(Arc::new(Members::founding(plan.members())));
    one.send_until_heard(&two, &heartbeat(1));
}

#[test]
fn a_peer_that_is_not_at_its_url_in_the_log_is_dialled_at_the_one_in_the_settings() {
    let plan = Plan::of(3);
    let mut of_before = Plan::at_the_same_addresses(&plan);
    of_before.confuse(2, 3);
    let (one, two) = (Node::serving(&plan, 1), Node::started(&plan, 2));
    let _three = Node::started(&plan, 3);
    one.members.send_replace(Arc::new(Members::founding(of_before.members())));
    one.start();
    one.send_until_heard(&two, &heartbeat(1));
}

/// Two nodes moved, and each tells the third, which they both reach, where it is: so they find each other.
#[test]
fn a_peer_that_moved_is_found_where_another_member_finds_it() {
    let plan = Plan::of(3);
    let (mut of_one, mut of_three) = (Plan::at_the_same_addresses(&plan), Plan::at_the_same_addresses(&plan));
    of_one.confuse(3, 2);
    of_three.confuse(1, 2);
    let (one, three) = (Node::started(&of_one, 1), Node::started(&of_three, 3));
    let _two = Node::started(&plan, 2);
    one.send_until_heard(&three, &heartbeat(2));
    three.send_until_heard(&one, &heartbeat(3));
}

/// As behind a NAT. A node that starts again hears where its peer says that it is on the very stream that it opened
/// elsewhere; if votes then went where nobody answers, nothing would ever break that stream, and no leader be elected.
#[test]
fn everything_goes_where_the_stream_goes_and_not_where_the_peer_says_that_it_is() {
    let mut plan = Plan::of(2);
    plan.said = [1, 2].map(|node| (node, "http://127.0.0.1:1".to_owned())).into();
    let mut of_two = Plan::at_the_same_addresses(&plan);
    // It never calls the first, which hears of it on its own stream only.
    of_two.confuse(1, 2);
    let (one, two) = (Node::serving(&plan, 1), Node::started(&of_two, 2));
    let said = plan
        .members()
        .into_iter()
        .map(|member| Member { peer_urls: plan.identity(member.id.get()).peer_urls, ..member });
    one.members.send_replace(Arc::new(Members::founding(said)));
    one.start();
    one.send_until_heard(&two, &heartbeat(1));

    let request = RequestVote { term: Term(2), last: EntryId::new(1, 9), pre: true, transfer: false };
    assert!(one.peers.send(two.id, Message::RequestVote(request)));
    two.listener.wait_for(&Heard::Message(NodeId(1), Message::RequestVote(request)));
    let deadline = Instant::now() + Duration::from_secs(10);
    let answer = one.block_on(one.peers.ask(two.id, Question::Transfer(None), deadline));
    assert_eq!(answer, Ok(Answer::Leads(NodeId(3))));
    let members = Members::of([NodeId(1), NodeId(2)], [], []);
    let meta = SnapshotMeta { last: EntryId::new(1, 42), members };
    let pieces = Box::new([Ok(Bytes::from_static(b"state"))].into_iter());
    one.peers.send_snapshot(two.id, Term(1), Snapshot { meta, pieces });
    one.listener.wait_for(&Heard::SnapshotSent(NodeId(2), Ok(Index(42))));
}

#[test]
fn urls_are_advertised_to_the_leader_and_what_nobody_could_dial_is_refused() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let advertise = |member: &Member| {
        let deadline = Instant::now() + Duration::from_secs(10);
        one.block_on(one.peers.ask(NodeId(2), Question::Advertise(member.clone()), deadline))
    };
    let member = Member {
        peer_urls: vec!["http://a:2380".into()],
        client_urls: vec!["http://a:2379".into(), "http://b:2379".into()],
        ..Member::named(NodeId(1), "n1")
    };
    assert_eq!(advertise(&member), Ok(Answer::Advertised));
    assert_eq!(two.listener.advertised.lock().unwrap()[..], *std::slice::from_ref(&member));
    for bad in [
        Member { peer_urls: vec!["nowhere".into()], ..member.clone() },
        Member { client_urls: vec![format!("http://{}:1", "h".repeat(600))], ..member.clone() },
        Member { id: NodeId(0), ..member },
    ] {
        let answer = advertise(&bad);
        assert!(matches!(answer, Err(NoAnswer::Refused(_))), "{answer:?}");
    }
    assert_eq!(two.listener.advertised.lock().unwrap().len(), 1);
}
