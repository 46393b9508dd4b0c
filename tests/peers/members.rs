//! The connections follow the members in the log.

use crate::peers::node::{Heard, Node, Plan, heartbeat};
use kontiki::api::remote::{Answer, NoAnswer, OtherNodes as _, Question};
use kontiki::member::Member;
use kontiki::peers::{PeerRefusal, RefusalKind};
use kontiki::proto::raft as pb;
use kontiki::raft::Members;
use kontiki::replica::Transport as _;
use kontiki::types::NodeId;
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
    assert!(!one.peers.send(three.id, heartbeat(1)), "nobody says where it is");
    let _two = Node::started(&plan, 2);
    one.send_until_heard(&three, &heartbeat(2));
    three.send_until_heard(&one, &heartbeat(3));
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
        assert!(matches!(answer, Err(NoAnswer::Lost(_))), "{answer:?}");
    }
    assert_eq!(two.listener.advertised.lock().unwrap().len(), 1);
}
