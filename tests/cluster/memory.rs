//! Clients that do not finish their requests, or do not read their answers: what they make a node hold is bounded,
//! however many they are.

use crate::cluster::harness::{Cluster, Setup, put, until};
use crate::faults::process::usage::peak_memory;
use crate::grpc::hostile::{Hostile, framed};
use kontiki::proto::v1;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What a node may take in all: its budget, copies of a few messages, and what it takes anyway.
const MEMORY: u64 = 400 * MIB;

/// What a leader may take besides: answers to writes have twice the room, and those to the two other nodes some more.
const LEADER_MEMORY: u64 = MEMORY + 256 * MIB;

async fn one_node() -> (Cluster, SocketAddr) {
    let mut cluster = Cluster::prepare(Setup { size: 1, ..Setup::default() }).await;
    cluster.start_all();
    cluster.leader().await;
    let address = (Ipv4Addr::LOCALHOST, cluster.nodes[0].client_port).into();
    (cluster, address)
}

#[tokio::test]
async fn pages_that_nobody_reads_are_bounded_together() {
    let (cluster, address) = one_node().await;
    let node = &cluster.nodes[0];
    for number in 0..5 {
        node.kv().put(put(&format!("k{number}"), &"x".repeat(1 << 20))).await.unwrap();
    }
    let all = Some(v1::range_request::Selector::All(true));
    let question = framed(&v1::RangeRequest { selector: all, ..Default::default() });
    let mut kept = Vec::new();
    let mut clients = Vec::new();
    // One that takes nothing, and one that takes the beginning of each.
    for window in [0, 16_384] {
        let mut client = Hostile::connect(address, window).await;
        for _ in 0..150 {
            let answer = client.ask("KvService/Range", &question).await;
            kept.push(answer.await.unwrap());
        }
        clients.push(client);
    }
    let peak = peak_memory(node.pid());
    assert!(peak < MEMORY, "{} MiB", peak / MIB);
    until("others are served", || async { node.kv().put(put("k", "v")).await.ok() }).await;
}

#[tokio::test]
async fn requests_without_an_end_are_bounded_together() {
    let (cluster, address) = one_node().await;
    let node = &cluster.nodes[0];
    let message = framed(&put("k", &"x".repeat(1_500_000)));
    let mut unfinished = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Hostile::connect(address, 65_535).await;
        for _ in 0..100 {
            unfinished.push(client.ask_without_end("KvService/Put", &message).await);
        }
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let peak = peak_memory(node.pid());
    assert!(peak < MEMORY, "{} MiB", peak / MIB);
    node.kv().put(put("k", "v")).await.expect("a small one finds room");
}

fn everything() -> Option<v1::range_request::Selector> {
    Some(v1::range_request::Selector::All(true))
}

#[tokio::test]
async fn scans_that_nobody_reads_are_bounded_together() {
    let (cluster, address) = one_node().await;
    let node = &cluster.nodes[0];
    for number in 0..20 {
        node.kv().put(put(&format!("k{number}"), &"x".repeat(1_500_000))).await.unwrap();
    }
    let all = Some(v1::scan_request::Selector::All(true));
    let question = framed(&v1::ScanRequest { selector: all, ..Default::default() });
    let mut kept = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Hostile::connect(address, 0).await;
        for _ in 0..50 {
            kept.push(client.ask("KvService/Scan", &question).await);
        }
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let peak = peak_memory(node.pid());
    assert!(peak < MEMORY, "{} MiB", peak / MIB);
    node.kv().put(put("k", "v")).await.expect("others are served");
}

#[tokio::test]
async fn transactions_that_answer_much_are_bounded_together() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let node = &cluster.nodes[leader];
    for number in 0..3 {
        node.kv().put(put(&format!("k{number}"), &"x".repeat(1_300_000))).await.unwrap();
    }
    let op = |op| v1::TxnOp { op: Some(op) };
    let range = v1::RangeRequest { selector: everything(), ..Default::default() };
    let success = vec![op(v1::txn_op::Op::Range(range)), op(v1::txn_op::Op::Put(put("z", "v")))];
    let question = framed(&v1::TxnRequest { success, ..Default::default() });
    let mut kept = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        for place in 0..3 {
            let address = (Ipv4Addr::LOCALHOST, cluster.nodes[place].client_port).into();
            let mut client = Hostile::connect(address, 0).await;
            for _ in 0..200 {
                kept.push(client.ask("KvService/Txn", &question).await);
            }
            clients.push(client);
        }
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    for node in &cluster.nodes {
        let peak = peak_memory(node.pid());
        assert!(peak < LEADER_MEMORY, "{} MiB", peak / MIB);
    }
    until("others are served", || async { cluster.nodes[0].kv().put(put("k", "v")).await.ok() }).await;
}
