//! What an acknowledged write is worth.

use super::harness::{Cluster, Node, Setup, get, put, text, until};
use kontiki::proto::v1;
use std::collections::BTreeSet;
use std::process::Command;

/// The proof that a kill cannot give: killed processes leave the page cache
/// behind, power cuts do not. So the system calls are watched themselves.
#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_put_was_synced_on_a_majority() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("KONTIKI_TEST_ALL").is_none(), "strace is not installed");
        eprintln!("skipped: strace is not installed");
        return;
    }
    let words = ["strace", "-D", "-f", "-y", "-e", "trace=fdatasync", "-o", "{log}.strace"];
    let prefix = words.map(str::to_owned).to_vec();
    let mut cluster = Cluster::prepare(Setup { prefix, ..Setup::default() }).await;
    cluster.start_all();
    let leader = cluster.leader().await;
    let mut kv = cluster.nodes[leader].kv();
    kv.put(put("warm", "up")).await.unwrap();
    for node in &cluster.nodes {
        node.ready().await;
    }
    for round in 0..5 {
        let before: Vec<usize> = cluster.nodes.iter().map(log_syncs).collect();
        kv.put(put("k", &round.to_string())).await.unwrap();
        // At once: the sync must come before the acknowledgement, not some time after.
        let after: Vec<usize> = cluster.nodes.iter().map(log_syncs).collect();
        let synced = before.iter().zip(&after).filter(|(before, after)| after > before).count();
        assert!(
            synced >= 2,
            "acknowledged after {synced} nodes synced their logs: {before:?} then {after:?}"
        );
        until("the last node has synced too", || async {
            cluster.nodes.iter().zip(&before).all(|(node, before)| log_syncs(node) > *before).then_some(())
        })
        .await;
    }
}

/// How often the node has synced its log.
fn log_syncs(node: &Node) -> usize {
    let path = node.data.with_extension("log.strace");
    let trace = std::fs::read_to_string(path).unwrap_or_default();
    let log = node.data.join("journal").join("segment-").display().to_string();
    // A call is cut in two lines if another thread makes one meanwhile.
    let mut unfinished = BTreeSet::new();
    let mut syncs = 0;
    for line in trace.lines().filter(|line| line.contains("fdatasync")) {
        let thread = line.split_whitespace().next();
        if line.contains(&log) && line.contains("<unfinished") {
            unfinished.insert(thread);
        } else if line.ends_with("= 0") && (line.contains(&log) || unfinished.remove(&thread)) {
            syncs += 1;
        }
    }
    syncs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_cluster_comes_back_with_everything() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let mut kv = cluster.nodes[leader].kv();
    for number in 0..50 {
        kv.put(put(&format!("k{number:02}"), &number.to_string())).await.unwrap();
    }
    kv.compact(v1::CompactRequest { revision: 20 }).await.unwrap();
    let before = cluster.nodes[leader].status().await.unwrap();
    for node in &cluster.nodes {
        node.signal("TERM");
    }
    for node in &mut cluster.nodes {
        assert!(node.exit().await.success());
    }
    cluster.start_all();
    for node in &cluster.nodes {
        let after = node.ready().await;
        assert_eq!(after.revision, before.revision, "revisions neither fall nor repeat");
        assert_eq!(after.compact_revision, 20);
        assert_eq!(after.keys, 50);
        let answer = node.kv().get(get("k07", v1::ReadLevel::Linearizable)).await.unwrap().into_inner();
        assert_eq!(text(answer.kv).as_deref(), Some("7"));
    }
    cluster.assert_equal_states().await;
}
