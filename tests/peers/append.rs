//! The append stream: messages both ways, losses, and what overtakes what.

use crate::peers::node::{Heard, Node, Plan, append, heartbeat};
use bytes::Bytes;
use kontiki::peers::{PeerRefusal, RefusalKind};
use kontiki::proto::raft as pb;
use kontiki::raft::{Message, Round};
use kontiki::replica::Transport as _;
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::time::{Duration, Instant};

/// Appends are sent on the leader's stream, and the follower's answers come back on the same one.
#[test]
fn appends_go_out_and_answers_come_back() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));

    one.send_until_heard(&two, &heartbeat(1));
    for prev in 0..500 {
        assert!(one.peers.send(two.id, append(prev, format!("command {prev}"))));
    }
    two.listener.wait("500 appends", |heard| {
        let commands: Vec<&Heard> =
            heard.iter().filter(|h| matches!(h, Heard::Message(_, Message::Append(_)))).collect();
        let expected = |prev: u64| Heard::Message(NodeId(1), append(prev, format!("command {prev}")));
        (commands.len() == 500).then(|| {
            assert!(commands.iter().zip(0..).all(|(heard, prev)| **heard == expected(prev)), "in order");
        })
    });

    let answers = [
        Message::Accepted { term: Term(1), matched: Index(500) },
        Message::Rejected { term: Term(2), prev: Index(9), hint: EntryId::ZERO },
        Message::HeartbeatAck { term: Term(1), round: Round(1), received: Index(7), full: true },
    ];
    for answer in answers {
        assert!(two.peers.send(one.id, answer.clone()));
        one.listener.wait_for(&Heard::Message(NodeId(2), answer));
    }
}

/// A killed peer is reported at once and once, from whichever stream ends
/// first; and it is connected to again when it is back.
#[test]
fn a_killed_peer_is_lost_at_once_and_found_again() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.send_until_heard(&two, &heartbeat(1));
    two.send_until_heard(&one, &heartbeat(2));
    let killed = Instant::now();
    drop(two);
    one.listener.wait_for(&Heard::Lost(NodeId(2)));
    assert!(killed.elapsed() < Duration::from_millis(250), "noticed after {:?}", killed.elapsed());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Lost(_))), 1, "two streams, one loss");
    assert!(!one.peers.send(NodeId(2), append(0, "x")), "nothing is kept for a peer that is away");

    let two = Node::started(&plan, 2);
    one.send_until_heard(&two, &heartbeat(3));
    drop(two);
    one.listener.wait("a second loss", |heard| {
        (heard.iter().filter(|heard| matches!(heard, Heard::Lost(_))).count() == 2).then_some(())
    });
}

/// A peer that neither speaks nor ends its connection, as a stopped process or
/// a machine without power, is found by the keepalive of the connection.
#[test]
fn a_peer_that_falls_silent_is_lost() {
    let mut plan = Plan::of(2);
    plan.settings.keepalive_interval = Duration::from_millis(100);
    plan.settings.keepalive_timeout = Duration::from_millis(100);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.send_until_heard(&two, &heartbeat(1));
    {
        let _stuck = two.listener.stuck.lock().unwrap();
        assert!(one.peers.send(two.id, heartbeat(2)));
        one.listener.wait_for(&Heard::Lost(NodeId(2)));
    }
    one.send_until_heard(&two, &heartbeat(3));
}

/// A peer that opens a new stream before this node saw the end of the old one
/// is not lost; answers go to the newest.
#[test]
fn a_newer_stream_replaces_an_older_one() {
    let plan = Plan::of(2);
    let one = Node::started(&plan, 1);
    one.block_on(async {
        let mut client = plan.client(1).await;
        let hello = || {
            let hello = pb::append_entries_request::Message::Hello(plan.identity(2).sender(NodeId(1)));
            let hello = tokio_stream::iter([pb::AppendEntriesRequest { message: Some(hello) }]);
            futures_util::StreamExt::chain(hello, futures_util::stream::pending())
        };
        let mut older = client.append_entries(hello()).await.unwrap().into_inner();
        older.message().await.unwrap().expect("a hello");
        let mut newer = client.append_entries(hello()).await.unwrap().into_inner();
        newer.message().await.unwrap().expect("a hello");

        assert_eq!(older.message().await.unwrap(), None, "the older one ends");
        assert!(one.peers.send(NodeId(2), Message::Accepted { term: Term(1), matched: Index(4) }));
        let accepted = pb::AppendAccepted { term: 1, match_index: 4 };
        let expected = pb::append_entries_response::Message::Accepted(accepted);
        assert_eq!(newer.message().await.unwrap().unwrap().message, Some(expected));
    });
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Lost(_))), 0);
}

/// A node that stops in an orderly way ends its streams: its peers learn it at
/// once, and it does not itself report them as lost.
#[test]
fn a_stopping_node_ends_its_streams() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.send_until_heard(&two, &heartbeat(1));
    two.send_until_heard(&one, &heartbeat(2));
    two.stop.send(true).unwrap();
    one.listener.wait_for(&Heard::Lost(NodeId(2)));
    assert_eq!(two.listener.count(|heard| matches!(heard, Heard::Lost(_))), 0);
}

/// A follower that takes nothing in for a while gets the heartbeat before the
/// appends that had piled up in the queue.
#[test]
fn a_heartbeat_overtakes_a_full_queue() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.send_until_heard(&two, &heartbeat(1));

    let command = Bytes::from(vec![7; 256 << 10]);
    let stuck = two.listener.stuck.lock().unwrap();
    let mut sent = 0;
    let mut refused = Instant::now();
    // Fills the receiver's windows, the kernel's buffers and then the queue.
    while refused.elapsed() < Duration::from_millis(300) {
        if one.peers.send(two.id, append(sent, command.clone())) {
            sent += 1;
            refused = Instant::now();
        } else {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert!(one.peers.send(two.id, heartbeat(2)), "there is always room for a heartbeat");
    drop(stuck);

    let position = two.listener.wait("the heartbeat", |heard| {
        heard.iter().position(|heard| *heard == Heard::Message(NodeId(1), heartbeat(2)))
    });
    let all = two.listener.wait("all appends", |heard| {
        (heard.iter().filter(|h| matches!(h, Heard::Message(_, Message::Append(_)))).count() as u64 == sent)
            .then_some(heard.len())
    });
    // The queue holds 32 MiB, that is 128 of these.
    assert!(position + 120 < all, "heard as number {position} of {all}");
}

/// A peer that breaks a rule loses its stream, and the message goes nowhere.
#[test]
fn a_malformed_message_closes_the_stream() {
    use pb::append_entries_request::Message as Wire;
    let plan = Plan::of(2);
    let one = Node::started(&plan, 1);
    let hello = Wire::Hello(plan.identity(2).sender(NodeId(1)));
    let gap = Wire::Append(pb::Append {
        term: 1,
        prev: Some(pb::EntryId { term: 2, index: 5 }),
        entries: vec![],
        commit_index: 0,
    });
    let requests = [hello, gap].map(|message| pb::AppendEntriesRequest { message: Some(message) });
    let status = one.block_on(async {
        let requests = futures_util::StreamExt::chain(
            tokio_stream::iter(requests),
            futures_util::stream::pending::<pb::AppendEntriesRequest>(),
        );
        let mut replies = plan.client(1).await.append_entries(requests).await.unwrap().into_inner();
        let hello = replies.message().await.unwrap().unwrap();
        assert!(matches!(hello.message, Some(pb::append_entries_response::Message::Hello(_))));
        replies.message().await.unwrap_err()
    });
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("an append of term 1 behind 5@2"), "{status}");
    assert_eq!(one.listener.count(|heard| matches!(heard, Heard::Message(..))), 0);
}

/// Two processes on copies of one directory would end each other's streams forever. The one that was replaced is told
/// why, until the other is gone.
#[test]
fn a_peer_that_runs_twice_is_told_so_and_does_not_flap() {
    let plan = Plan::of(2);
    let one = Node::started(&plan, 1);
    let mut client = one.block_on(plan.client(1));
    let mut open = |process| {
        let mut sender = plan.identity(2).sender(NodeId(1));
        sender.process_id = process;
        sender.peer_urls = vec![format!("http://p{process}:1")];
        let hello = pb::append_entries_request::Message::Hello(sender);
        // The stream ends with its sender.
        let (stream, requests) = tokio::sync::mpsc::channel(1);
        stream.try_send(pb::AppendEntriesRequest { message: Some(hello) }).unwrap();
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        let opened = one.block_on(client.append_entries(requests));
        opened.map(|replies| (stream, replies.into_inner()))
    };
    let _first = open(1).unwrap();
    let second = open(2).unwrap();
    for _ in 0..3 {
        let refusal = PeerRefusal::of(&open(1).unwrap_err()).unwrap();
        assert_eq!(refusal.kind, RefusalKind::MemberTwice);
        let text = &refusal.text;
        assert!(
            text.contains("\"n2\" runs twice, at http://p1:1 (from 127.0.0.1) and at http://p2:1"),
            "{text}"
        );
    }
    drop(second);
    let started = Instant::now();
    while open(1).is_err() {
        assert!(started.elapsed() < Duration::from_secs(15), "the other is gone");
        std::thread::sleep(Duration::from_millis(5));
    }
}
