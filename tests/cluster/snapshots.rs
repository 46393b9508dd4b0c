//! A follower that is behind the leader's log gets the state as a stream.

use super::harness::{Cluster, Setup, put, until};
use super::writer::Writers;
use std::sync::atomic::{AtomicU64, Ordering};

/// So few entries are kept that a short absence is enough to need a snapshot.
const SHORT_LOG: [&str; 2] = ["--log-retain-entries", "50"];

async fn with_short_log(more: &[&str]) -> Cluster {
    let arguments = SHORT_LOG.iter().chain(more).map(|word| (*word).to_owned()).collect();
    let mut cluster = Cluster::prepare(Setup { arguments, ..Setup::default() }).await;
    cluster.start_all();
    cluster.leader().await;
    cluster
}

/// Waits until the leader's log no longer reaches back to what a follower that stopped at `index` needs.
async fn compacted_beyond(cluster: &Cluster, leader: usize, index: u64) {
    let extra = AtomicU64::new(0);
    until("the leader's log is compacted", || async {
        let number = extra.fetch_add(1, Ordering::Relaxed);
        // The log is compacted once the state is durable, and that follows writes.
        let _ = cluster.nodes[leader].kv().put(put(&format!("extra{number}"), "x")).await;
        let status = cluster.nodes[leader].status().await?;
        (status.compacted_index > index).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_past_compaction_gets_a_snapshot_while_writes_go_on() {
    let mut cluster = with_short_log(&[]).await;
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    cluster.nodes[follower].ready().await;
    cluster.nodes[follower].kill();
    // The follower cannot have more than that.
    let before = cluster.nodes[leader].ready().await.last_index;
    let writers = Writers::start(&cluster, 4);
    writers.more(300).await;
    compacted_beyond(&cluster, leader, before).await;
    cluster.nodes[follower].start();
    writers.more(200).await;
    let promises = writers.finish().await;
    promises.assert_kept(&cluster).await;
    let status = cluster.nodes[follower].status().await.unwrap();
    assert!(status.compacted_index > before, "it came by a snapshot, not by the log: {status:?}");
    // What it received is as durable as what it wrote itself.
    cluster.nodes[follower].kill();
    cluster.nodes[follower].start();
    promises.assert_kept(&cluster).await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_starts_again_and_harms_nothing() {
    // 3 MiB at 512 KiB/s: about six seconds, so that the cut hits the middle.
    let mut cluster = with_short_log(&["--snapshot-rate", "512KiB"]).await;
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    cluster.nodes[follower].ready().await;
    cluster.nodes[follower].kill();
    // The follower cannot have more than that.
    let before = cluster.nodes[leader].ready().await.last_index;
    let value = "v".repeat(30_000);
    for number in 0..100 {
        cluster.nodes[leader].kv().put(put(&format!("large{number:03}"), &value)).await.unwrap();
    }
    compacted_beyond(&cluster, leader, before).await;
    cluster.nodes[follower].start();
    streams_to(&cluster, leader, follower).await;
    // The receiver dies in the middle; what it had is worth nothing, what it was is still there.
    cluster.nodes[follower].kill();
    cluster.nodes[follower].start();
    streams_to(&cluster, leader, follower).await;
    // The sender dies in the middle; the next leader starts over.
    cluster.nodes[leader].kill();
    cluster.leader_other_than(Some(leader)).await;
    cluster.nodes[leader].start();
    cluster.nodes[leader].ready().await;
    cluster.nodes[follower].ready().await;
    cluster.assert_equal_states().await;
}

async fn streams_to(cluster: &Cluster, leader: usize, follower: usize) {
    let name = cluster.nodes[follower].name.clone();
    until(&format!("a snapshot is on its way to {name}"), || async {
        let status =
            cluster.nodes[leader].cluster().status(kontiki::proto::v1::StatusRequest::default()).await;
        let nodes = status.ok()?.into_inner().nodes;
        let id =
            nodes.iter().filter_map(|node| node.member.as_ref()).find(|member| member.name == name)?.node_id;
        let progress =
            nodes.iter().flat_map(|node| &node.followers).find(|progress| progress.node_id == id)?;
        (progress.state() == kontiki::proto::v1::FollowerState::Snapshot).then_some(())
    })
    .await;
}
