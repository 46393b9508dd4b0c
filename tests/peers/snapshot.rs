//! Snapshots arrive whole or not at all.

use crate::peers::node::{Heard, Node, Plan, heartbeat};
use bytes::Bytes;
use kontiki::proto::raft as pb;
use kontiki::proto::raft::install_snapshot_request::Message as Piece;
use kontiki::raft::{Members, SnapshotMeta};
use kontiki::replica::{Snapshot, SnapshotError, Transport as _};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tonic::{Code, Status};

fn meta(index: u64) -> SnapshotMeta {
    SnapshotMeta { last: EntryId::new(1, index), members: Members::of([NodeId(1), NodeId(2)], [], []) }
}

/// A snapshot of these pieces, which then ends with `end`.
fn snapshot(index: u64, pieces: &[Bytes], end: Option<SnapshotError>) -> Snapshot {
    let pieces: Vec<_> = pieces.iter().cloned().map(Ok).chain(end.map(Err)).collect();
    Snapshot { meta: meta(index), pieces: Box::new(pieces.into_iter()) }
}

fn bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at * 31 % 251) as u8).collect::<Vec<u8>>().into()
}

#[test]
fn a_snapshot_arrives_as_it_was_sent() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let file = bytes(3_000_000);
    // Pieces of any size, empty ones too, are cut to chunks.
    let pieces = [file.slice(..1), file.slice(1..1), file.slice(1..1_500_000), file.slice(1_500_000..)];
    one.peers.send_snapshot(two.id, Term(1), snapshot(42, &pieces, None));
    one.listener.wait_for(&Heard::SnapshotSent(NodeId(2), Ok(Index(42))));
    let heard = two.listener.heard.lock().unwrap().clone();
    assert_eq!(heard, [Heard::SnapshotBegun(NodeId(1), Term(1), meta(42)), Heard::SnapshotInstalled(file),]);
}

/// The rate is kept to, and heartbeats do not feel the snapshot.
#[test]
fn a_snapshot_is_sent_no_faster_than_told() {
    let mut plan = Plan::of(2);
    plan.settings.snapshot_bytes_per_second = NonZeroU64::new(4 << 20);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.send_until_heard(&two, &heartbeat(1));
    let started = Instant::now();
    one.peers.send_snapshot(two.id, Term(1), snapshot(42, &[bytes(2 << 20)], None));
    two.listener.wait_for(&Heard::SnapshotBegun(NodeId(1), Term(1), meta(42)));
    assert!(one.peers.send(two.id, heartbeat(2)));
    two.listener.wait_for(&Heard::Message(NodeId(1), heartbeat(2)));
    one.listener.wait_for(&Heard::SnapshotSent(NodeId(2), Ok(Index(42))));
    let elapsed = started.elapsed();
    assert!(elapsed > Duration::from_millis(350), "2 MiB at 4 MiB/s in {elapsed:?}");
}

#[test]
fn a_snapshot_that_breaks_off_is_discarded_and_reported() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let error = SnapshotError("the disk of n1 is gone".into());
    one.peers.send_snapshot(two.id, Term(1), snapshot(42, &[bytes(1000)], Some(error.clone())));
    one.listener.wait_for(&Heard::SnapshotSent(NodeId(2), Err(error)));
    two.listener.wait_for(&Heard::SnapshotDiscarded);
    assert_eq!(two.listener.count(|heard| matches!(heard, Heard::SnapshotInstalled(_))), 0);
}

/// A follower whose snapshot nobody sends any more would wait for it forever. What a newer one replaced has nothing to
/// tell: it would be taken for the end of that one.
#[test]
fn whatever_ends_the_sending_is_reported_once() {
    let mut plan = Plan::of(2);
    plan.settings.snapshot_bytes_per_second = NonZeroU64::new(1 << 10);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    for number in [42, 43] {
        one.peers.send_snapshot(two.id, Term(number), snapshot(number, &[bytes(2 << 20)], None));
        two.listener.wait_for(&Heard::SnapshotBegun(NodeId(1), Term(number), meta(number)));
    }
    two.listener.wait_for(&Heard::SnapshotDiscarded);
    let told = |heard: &Heard| matches!(heard, Heard::SnapshotSent(..));
    assert_eq!(one.listener.count(told), 0);

    one.members.send_replace(Arc::new(Members::founding(plan.members().into_iter().take(1))));
    one.listener.wait("the report", |heard| heard.iter().any(told).then_some(()));
    assert_eq!(one.listener.count(told), 1);
    one.peers.send_snapshot(two.id, Term(44), snapshot(44, &[bytes(10)], None));
    one.listener.wait("that it is no member", |heard| {
        (heard.iter().filter(|heard| told(heard)).count() == 2).then_some(())
    });
}

#[test]
fn a_receiver_that_needs_none_says_so() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    one.peers.send_snapshot(two.id, Term(1), snapshot(1, &[bytes(1000)], None));
    let error = one.listener.wait("the refusal", |heard| {
        heard.iter().find_map(|heard| match heard {
            Heard::SnapshotSent(_, Err(error)) => Some(error.clone()),
            _ => None,
        })
    });
    assert!(error.0.contains("stale snapshot: has 1 already"), "{error}");
}

#[test]
fn a_killed_receiver_is_reported() {
    let plan = Plan::of(2);
    let (one, two) = (Node::started(&plan, 1), Node::started(&plan, 2));
    let (source, pieces) = std::sync::mpsc::channel();
    source.send(Ok(bytes(1000))).unwrap();
    one.peers.send_snapshot(
        two.id,
        Term(1),
        Snapshot { meta: meta(42), pieces: Box::new(pieces.into_iter()) },
    );
    two.listener.wait_for(&Heard::SnapshotBegun(NodeId(1), Term(1), meta(42)));
    drop(two);
    one.listener.wait("the report", |heard| {
        heard.iter().any(|heard| matches!(heard, Heard::SnapshotSent(_, Err(_)))).then_some(())
    });
}

/// Sends these pieces by hand behind a good header.
fn send_by_hand(plan: &Plan, node: &Node, pieces: Vec<Piece>, then_wait: bool) -> Status {
    let nodes = [1, 2].map(|id| pb::Member { id, ..Default::default() }).to_vec();
    let members = pb::Members { voters: vec![1, 2], nodes, ..Default::default() };
    let header = pb::SnapshotHeader {
        sender: Some(plan.identity(2).sender(NodeId(1))),
        term: 1,
        last: Some(pb::EntryId { term: 1, index: 42 }),
        members: Some(members),
    };
    let (sender, receiver) = mpsc::channel(10);
    for piece in std::iter::once(Piece::Header(header)).chain(pieces) {
        sender.try_send(pb::InstallSnapshotRequest { message: Some(piece) }).unwrap();
    }
    let open = then_wait.then_some(sender);
    let status = node.block_on(async {
        let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
        plan.client(1).await.install_snapshot(requests).await.unwrap_err()
    });
    drop(open);
    node.listener.wait_for(&Heard::SnapshotDiscarded);
    assert_eq!(node.listener.count(|heard| matches!(heard, Heard::SnapshotInstalled(_))), 0);
    status
}

fn chunk(offset: u64, data: &Bytes) -> Piece {
    Piece::Chunk(pb::SnapshotChunk { offset, crc32c: crc32c::crc32c(data), data: data.clone() })
}

fn trailer(file: &[u8]) -> Piece {
    let hash = xxhash_rust::xxh3::xxh3_128(file).to_be_bytes();
    Piece::Trailer(pb::SnapshotTrailer { length: file.len() as u64, xxh3_128: hash.to_vec().into() })
}

#[test]
fn damaged_snapshots_are_refused() {
    let file = bytes(1000);
    let (first, second) = (file.slice(..600), file.slice(600..));
    let flipped = {
        let Piece::Chunk(mut piece) = chunk(600, &second) else { unreachable!() };
        piece.crc32c ^= 1;
        Piece::Chunk(piece)
    };
    let cases = [
        ("a bad checksum", vec![chunk(0, &first), flipped, trailer(&file)], "at byte 600 is damaged"),
        ("a gap", vec![chunk(600, &second), trailer(&file)], "at byte 600 where 0 is next"),
        ("a repetition", vec![chunk(0, &first), chunk(0, &first)], "at byte 0 where 600 is next"),
        ("no trailer", vec![chunk(0, &first)], "breaks off at byte 600 without a trailer"),
        (
            "a missing end",
            vec![chunk(0, &first), trailer(&file)],
            "600 bytes of a snapshot arrived, 1000 were sent",
        ),
        (
            "another file",
            vec![chunk(0, &file), trailer(&bytes(999).iter().chain(b"x").copied().collect::<Vec<u8>>())],
            "does not match its checksum",
        ),
    ];
    for (what, pieces, expected) in cases {
        let plan = Plan::of(2);
        let one = Node::started(&plan, 1);
        let status = send_by_hand(&plan, &one, pieces, false);
        assert_eq!(status.code(), Code::DataLoss, "{what}: {status}");
        assert!(status.message().contains(expected), "{what}: {status}");
    }
}

#[test]
fn a_stream_that_stands_still_is_given_up() {
    let mut plan = Plan::of(2);
    plan.settings.snapshot_idle = Duration::from_millis(100);
    let one = Node::started(&plan, 1);
    let status = send_by_hand(&plan, &one, vec![chunk(0, &bytes(10))], true);
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("stood still for 100ms"), "{status}");
}
