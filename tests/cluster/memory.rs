//! Clients that do not finish their requests, or do not read their answers: what they make a node hold is bounded,
//! however many they are.

use crate::cluster::harness::{Cluster, Setup, put, until};
use crate::grpc::hostile::{Hostile, framed};
use kontiki::proto::v1;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What a node may take in all: its budget, copies of a few messages, and what it takes anyway.
const MEMORY: u64 = 400 * MIB;

/// The most memory that a process ever had.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

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
    let peak = peak(node.pid());
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
    let peak = peak(node.pid());
    assert!(peak < MEMORY, "{} MiB", peak / MIB);
    node.kv().put(put("k", "v")).await.expect("a small one finds room");
}
