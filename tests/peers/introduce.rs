//! A new data directory asks the others before it takes part.

use crate::peers::node::{Node, Plan};
use kontiki::peers::{IntroduceError, PeerRefusal, RefusalKind};
use kontiki::proto::raft as pb;
use kontiki::types::{ClusterId, NodeId};
use std::time::Duration;

/// Three new nodes introduce themselves to each other before any of them has a
/// replica; everything but introductions is refused until then.
#[test]
fn new_nodes_wait_for_each_other() {
    let plan = Plan::of(3);
    let one = Node::serving(&plan, 1);
    let alone =
        one.block_on(async { tokio::time::timeout(Duration::from_millis(300), one.peers.introduce()).await });
    assert!(alone.is_err(), "two others are needed, none is there");

    let two = Node::serving(&plan, 2);
    let status = two.block_on(async {
        let sender = Some(plan.identity(2).sender(NodeId(1)));
        plan.client(1).await.timeout_now(pb::TimeoutNowRequest { sender, term: 1 }).await.unwrap_err()
    });
    assert_eq!(PeerRefusal::of(&status).unwrap().kind, RefusalKind::NotReady);
    assert_eq!(status.code(), tonic::Code::Unavailable);

    let waiting = {
        let peers = one.peers.clone();
        one.spawn(async move { peers.introduce().await })
    };
    let three = Node::serving(&plan, 3);
    one.block_on(waiting).unwrap().unwrap();
    three.block_on(three.peers.introduce()).unwrap();
}

#[test]
fn a_single_node_needs_nobody() {
    let plan = Plan::of(1);
    let one = Node::serving(&plan, 1);
    one.block_on(one.peers.introduce()).unwrap();
}

#[test]
fn a_wiped_member_learns_that_it_may_not_take_part() {
    let mut plan = Plan::of(2);
    let _one = Node::started(&plan, 1);
    let two = Node::serving(&plan, 2);
    two.block_on(two.peers.introduce()).unwrap();
    drop(two);

    plan.directories.insert(2, 999);
    let two = Node::serving(&plan, 2);
    let Err(IntroduceError::Refused { peer, refusal }) = two.block_on(two.peers.introduce()) else {
        panic!("must be refused");
    };
    assert_eq!((peer.as_str(), refusal.kind), ("n1", RefusalKind::MemberWiped));
}

/// A node with another list than the others.
fn mistaken(plan: &Plan, founders: &[&str]) -> Plan {
    let mut mistaken = Plan::at_the_same_addresses(plan);
    mistaken.cluster = ClusterId(8);
    mistaken.founders = founders.iter().map(|name| (*name).to_owned()).collect();
    mistaken
}

/// Waits until the node says so of those that it waits for.
async fn waits_for(node: &Node, text: &str) {
    let mut waiting_for = node.peers.watch_waiting_for();
    let said =
        tokio::time::timeout(Duration::from_secs(15), waiting_for.wait_for(|said| said.contains(text))).await;
    assert!(said.is_ok(), "{:?} does not say {text:?}", *node.peers.watch_waiting_for().borrow());
}

/// One of three was told other founders: it gives up, since both others disagree with it; these wait for it.
#[test]
fn a_node_that_most_disagree_with_gives_up_and_the_others_wait_until_it_is_put_right() {
    let plan = Plan::of(3);
    let mistaken = mistaken(&plan, &["n1", "n2", "n3", "n4"]);
    let (one, two) = (Node::serving(&plan, 1), Node::serving(&plan, 2));
    let wrong = Node::serving(&mistaken, 3);
    let right = [&one, &two].map(|node| {
        let peers = node.peers.clone();
        node.spawn(async move { peers.introduce().await })
    });
    let text = "\"n1\" and \"n3\" disagree about the founding of the cluster: only \"n3\" lists \"n4\"";
    one.block_on(waits_for(&one, text));
    let Err(IntroduceError::Outvoted(text)) = wrong.block_on(wrong.peers.introduce()) else {
        panic!("it must give up");
    };
    assert!(
        text.contains("n1 (") && text.contains("n2 (") && text.contains("only \"n3\" lists \"n4\""),
        "{text}"
    );
    two.block_on(waits_for(&two, "only \"n3\" lists \"n4\""));
    drop(wrong);

    let _put_right = Node::serving(&plan, 3);
    for introduced in right {
        one.block_on(introduced).unwrap().unwrap();
    }
}

/// One of two, or of four of which one does not exist, cannot know which list is wrong.
#[test]
fn a_node_that_few_disagree_with_waits() {
    let plan = Plan::of(2);
    let mistaken = mistaken(&plan, &["n2", "nx"]);
    let (one, two) = (Node::serving(&plan, 1), Node::serving(&mistaken, 2));
    let text = "only \"n2\" lists \"nx\", and only \"n1\" lists \"n1\"";
    for (node, text) in [(&one, "only \"n1\" lists \"n1\", and only \"n2\" lists \"nx\""), (&two, text)] {
        let peers = node.peers.clone();
        let introduced = node.spawn(async move { peers.introduce().await });
        node.block_on(waits_for(node, text));
        assert!(!introduced.is_finished());
    }
}

#[test]
fn lists_that_agree_leave_the_token() {
    let plan = Plan::of(2);
    let one = Node::serving(&plan, 1);
    let same = mistaken(&plan, &["n2", "n1"]);
    let introduce = |founders: Vec<String>| {
        let request = pb::IntroduceRequest { sender: Some(same.identity(2).sender(NodeId(1))), founders };
        let status = one.block_on(async { plan.client(1).await.introduce(request).await.unwrap_err() });
        PeerRefusal::of(&status).unwrap().text
    };
    let text = introduce(same.founders.clone());
    assert!(text.contains("not the same token") && text.contains("--cluster-token"), "{text}");
    for unreadable in [vec![], vec!["n".repeat(65)], vec!["n".to_owned(); 1000]] {
        let text = introduce(unreadable);
        assert!(text.contains("is of another cluster than"), "{text}");
    }
}

#[test]
fn a_stopping_node_does_not_wait() {
    let plan = Plan::of(2);
    let one = Node::serving(&plan, 1);
    one.stop.send(true).unwrap();
    assert_eq!(one.block_on(one.peers.introduce()), Err(IntroduceError::Stopping));
}
