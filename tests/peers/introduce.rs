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
fn a_wiped_member_and_a_foreign_one_learn_that_they_may_not_take_part() {
    for (change, expected) in [
        (
            (|plan: &mut Plan| {
                plan.directories.insert(2, 999);
            }) as fn(&mut Plan),
            RefusalKind::MemberWiped,
        ),
        (|plan: &mut Plan| plan.cluster = ClusterId(8), RefusalKind::WrongCluster),
    ] {
        let mut plan = Plan::of(2);
        let one = Node::started(&plan, 1);
        let two = Node::serving(&plan, 2);
        two.block_on(two.peers.introduce()).unwrap();
        drop(two);

        change(&mut plan);
        let two = Node::serving(&plan, 2);
        let Err(IntroduceError::Refused { peer, refusal }) = two.block_on(two.peers.introduce()) else {
            panic!("must be refused");
        };
        assert_eq!((peer.as_str(), refusal.kind), ("n1", expected));
        drop(one);
    }
}

#[test]
fn a_stopping_node_does_not_wait() {
    let plan = Plan::of(2);
    let one = Node::serving(&plan, 1);
    one.stop.send(true).unwrap();
    assert_eq!(one.block_on(one.peers.introduce()), Err(IntroduceError::Stopping));
}
