//! Clients that do not finish what they begin to send, or do not read what they asked for.

use super::arena::Arena;
use super::case::{Case, Ground, Limits, Step};
use super::raw::{DATA, END_HEADERS, HEADERS, Raw, call, frame};
use super::tally::Tally;
use crate::cluster::harness::put;
use crate::grpc::hostile::{Hostile, framed};
use bytes::Bytes;
use kontiki::proto::raft as pb;
use kontiki::proto::v1;
use std::time::{Duration, Instant};
use v1::{range_request, scan_request, txn_op};

/// How long they stay.
const STAY: Duration = Duration::from_secs(5);

/// The two budgets, copies of a few messages, and what a node takes anyway.
const FILLED: Limits = Limits {
    memory_mib: 560,
    slowest_put: Duration::from_millis(750),
    // While its room is full a node says so, at once.
    refused: usize::MAX,
    recovery: Duration::from_secs(10),
    ..Limits::USUAL
};

const fn case(name: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    Case { name, fault: "F6", what, attack, limits: FILLED, ..Case::USUAL }
}

/// One with 40 values of 1 MiB.
const fn loaded(name: &'static str, what: &'static str, attack: Step<Tally>) -> Case {
    Case {
        prepare: |arena| Box::pin(arena.load(40, |number| format!("large/{number:02}"), 1 << 20)),
        ..case(name, what, attack)
    }
}

pub const CASES: &[Case] = &[
    Case {
        quick: true,
        ..loaded("pages-unread", "300 pages of 4 MiB at each node that nobody reads", |arena| {
            Box::pin(unread(arena, 0, 300, "KvService/Range", framed(&range())))
        })
    },
    loaded(
        "pages-half-read",
        "300 pages of 4 MiB at each node of which the first 16 KiB are read",
        |arena| Box::pin(unread(arena, 16_384, 300, "KvService/Range", framed(&range()))),
    ),
    loaded("scans-unread", "250 scans at each node that nobody reads", |arena| {
        let selector = Some(scan_request::Selector::All(true));
        let scan = v1::ScanRequest { selector, ..Default::default() };
        Box::pin(unread(arena, 0, 250, "KvService/Scan", framed(&scan)))
    }),
    loaded("snapshots-unread", "50 snapshots at each node that nobody reads", |arena| {
        Box::pin(unread(arena, 0, 50, "MaintenanceService/Snapshot", framed(&v1::SnapshotRequest::default())))
    }),
    loaded(
        "transactions-unread",
        "300 writing transactions at each node that answer 3 MiB, unread",
        |arena| {
            let range = v1::RangeRequest { limit: 3, ..range() };
            let op = |op| v1::TxnOp { op: Some(op) };
            let success = vec![op(txn_op::Op::Range(range)), op(txn_op::Op::Put(put("z", "v")))];
            let txn = v1::TxnRequest { success, ..Default::default() };
            Box::pin(unread(arena, 0, 300, "KvService/Txn", framed(&txn)))
        },
    ),
    Case {
        quick: true,
        ..case("bodies-without-end", "400 puts of 1.5 MiB at each node that lack their last byte", |arena| {
            let message = framed(&put("k", &"x".repeat(1_500_000)));
            Box::pin(unfinished(arena, 100, message))
        })
    },
    case("heads-only", "16,000 puts at each node of which only the headers come", |arena| {
        Box::pin(heads(arena))
    }),
    case("a-byte-a-second", "400 puts at each node that arrive byte by byte", |arena| {
        Box::pin(slowly(arena))
    }),
    case("votes-without-end", "60 votes of 15 MiB at each peer port that lack their last byte", |arena| {
        Box::pin(votes(arena))
    }),
    Case {
        ground: Ground { secret: true, ..Ground::USUAL },
        ..case("votes-without-end-with-secret", "the same where the nodes have a secret", |arena| {
            Box::pin(votes(arena))
        })
    },
];

fn range() -> v1::RangeRequest {
    v1::RangeRequest { selector: Some(range_request::Selector::All(true)), ..Default::default() }
}

/// Asks on connections that take so many bytes of each answer.
async fn unread(arena: &mut Arena, window: u32, count: usize, method: &str, question: Bytes) -> Tally {
    let mut kept = Vec::new();
    for address in &arena.ports()[0] {
        let mut client = Hostile::connect(*address, window).await;
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(client.ask(method, &question).await);
        }
        kept.push((client, answers));
    }
    tokio::time::sleep(STAY).await;
    let mut tally = Tally::default();
    kept.iter().for_each(|(client, _)| tally.add(if client.is_closed() { "closed" } else { "open" }));
    tally
}

/// So many on each of four connections to each node.
async fn unfinished(arena: &mut Arena, count: usize, message: Bytes) -> Tally {
    let mut kept = Vec::new();
    for address in &arena.ports()[0] {
        for _ in 0..4 {
            let mut client = Hostile::connect(*address, 65_535).await;
            let mut begun = Vec::new();
            for _ in 0..count {
                begun.push(client.ask_without_end("KvService/Put", &message).await);
            }
            kept.push((client, begun));
        }
    }
    tokio::time::sleep(STAY).await;
    Tally::one("stayed")
}

async fn heads(arena: &mut Arena) -> Tally {
    let block = call("KvService/Put");
    let mut crowd = Vec::new();
    for address in &arena.ports()[0] {
        for _ in 0..16 {
            let mut raw = Raw::introduced(*address).await;
            let heads = (0..1_000).flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &block));
            raw.send(&heads.collect::<Vec<u8>>()).await;
            crowd.push(raw);
        }
    }
    tokio::time::sleep(STAY).await;
    Tally::one("stayed")
}

async fn slowly(arena: &mut Arena) -> Tally {
    let message = framed(&put("k", &"x".repeat(1_000)));
    let mut crowd = Vec::new();
    for address in &arena.ports()[0] {
        for _ in 0..4 {
            let mut raw = Raw::introduced(*address).await;
            for number in 0..100 {
                raw.send(&frame(HEADERS, END_HEADERS, 2 * number + 1, &call("KvService/Put"))).await;
            }
            crowd.push(raw);
        }
    }
    let began = Instant::now();
    for byte in message.iter().cycle() {
        for raw in &mut crowd {
            let bytes = (0..100).flat_map(|number| frame(DATA, 0, 2 * number + 1, &[*byte]));
            raw.send(&bytes.collect::<Vec<u8>>()).await;
        }
        if began.elapsed() > STAY {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Tally::one("stayed")
}

async fn votes(arena: &mut Arena) -> Tally {
    let sender = Some(pb::Sender { name: "x".repeat(15 << 20), ..Default::default() });
    let message = framed(&pb::RequestVoteRequest { sender, ..Default::default() });
    let mut kept = Vec::new();
    for address in &arena.ports()[1] {
        for _ in 0..60 {
            let Some(mut raw) = Raw::try_connect(*address).await else { continue };
            raw.send(super::raw::PREFACE).await;
            raw.send(&frame(super::raw::SETTINGS, 0, 0, &[])).await;
            raw.send(&frame(HEADERS, END_HEADERS, 1, &super::raw::peer_call("RequestVote"))).await;
            kept.push(tokio::spawn(pushed(raw, message.clone())));
        }
    }
    tokio::time::sleep(STAY).await;
    kept.iter().for_each(tokio::task::JoinHandle::abort);
    Tally::one("stayed")
}

/// Sends all but the last byte, as fast as it is taken.
async fn pushed(mut raw: Raw, message: Bytes) {
    for piece in message[..message.len() - 1].chunks(16_384) {
        if !raw.send(&frame(DATA, 0, 1, piece)).await {
            return;
        }
    }
    std::future::pending().await
}
