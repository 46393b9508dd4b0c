//! A node loses its power again and again while a snapshot comes in.

use super::nodes::Powered;
use crate::cluster::harness::{Node, put, until};
use crate::cluster::writer::Writers;
use crate::faults::disk::{self, Loss};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So little log is kept that a short absence is enough; and 1.5 MB of state take most of a second.
const ARGUMENTS: [&str; 4] = ["--log-retain-entries", "50", "--snapshot-rate", "2MiB"];

/// What the cuts hit.
#[derive(Debug, Default)]
struct Hits {
    /// A new state was being filled, and was not yet the one in use.
    during_install: u64,
    /// It was in use already.
    after_it: u64,
    /// Before anything came.
    before_it: u64,
}

impl Hits {
    fn cuts(&self) -> u64 {
        self.during_install + self.after_it + self.before_it
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_while_a_snapshot_comes_in_converges() {
    if !disk::available() {
        return;
    }
    let seed = super::first_seed() + 600;
    let mut powered = Powered::start(seed, &ARGUMENTS).await;
    let leader = powered.cluster.leader().await;
    for number in 0..50 {
        let value = "v".repeat(30_000);
        powered.cluster.nodes[leader].kv().put(put(&format!("large{number:03}"), &value)).await.unwrap();
    }
    let writers = Writers::start(&powered.cluster, 4);
    let away = powered.cluster.other_than(leader);
    let mut hits = Hits::default();
    powered.cut(&[away], Loss::Subset);
    compacted_beyond(&powered, powered.log_end(away)).await;
    // Until it has one: then the leader keeps the log that follows it, and no other is needed.
    let rounds = super::cuts(18).div_ceil(6);
    while hits.cuts() < rounds && hits.after_it == 0 {
        cut_during_install(&mut powered, away, &mut hits).await;
        powered.check_disks(&[away]);
    }
    powered.start_all();
    powered.all_answer().await;
    let promises = writers.finish().await;
    promises.assert_kept(&powered.cluster).await;
    powered.cluster.assert_equal_states().await;
    eprintln!("seed {seed}: {hits:?}; {powered}; {} acknowledged writes are there", promises.writes.len());
    assert!(hits.during_install > 0, "no cut fell into an install, so nothing was tested: {hits:?}");
}

/// Waits until the log of no running node reaches back to this index.
async fn compacted_beyond(powered: &Powered, end: u64) {
    let extra = AtomicU64::new(0);
    until("the logs are compacted", || async {
        for node in powered.cluster.nodes.iter().filter(|node| node.is_running()) {
            let number = extra.fetch_add(1, Ordering::Relaxed);
            // The log is compacted once the state is durable, and that follows writes.
            let _ = node.kv().put(put(&format!("extra{}", number % 10), "x")).await;
            if node.status().await?.compacted_index <= end {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// Starts the node and cuts it off at a random operation after the new state's directory was seen.
async fn cut_during_install(powered: &mut Powered, away: usize, hits: &mut Hits) {
    // What the last cut left of a state was removed when the directory was looked at.
    let in_use = state_in_use(&powered.cluster.nodes[away]);
    powered.cluster.nodes[away].start();
    let begun = until_new_state(&powered.cluster.nodes[away], in_use).await;
    // Early at first, and ever later.
    let magnitude = 4.0 + hits.cuts() as f64;
    let operations = 2_f64.powf(powered.rng.f64() * magnitude) as u64;
    powered.disks[away].cut_after(operations, Loss::Subset);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) && !powered.disks[away].is_cut() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    powered.cut(&[away], Loss::Subset);
    let installed = state_in_use(&powered.cluster.nodes[away]) != in_use;
    *match (begun, installed) {
        (true, false) => &mut hits.during_install,
        (true, true) => &mut hits.after_it,
        (false, _) => &mut hits.before_it,
    } += 1;
}

/// Waits until there is a directory of a state that is not the one in use; false if none comes.
async fn until_new_state(node: &Node, in_use: u64) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        if states(node).any(|number| number > in_use) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

fn states(node: &Node) -> impl Iterator<Item = u64> {
    let entries = std::fs::read_dir(&node.data).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix("state-")?.parse().ok())
}

/// What `CURRENT` names.
fn state_in_use(node: &Node) -> u64 {
    let text = std::fs::read_to_string(node.data.join("CURRENT")).unwrap();
    let json = text.rsplit_once("crc32c").map_or(text.as_str(), |(json, _)| json);
    let pointer: serde_json::Value = serde_json::from_str(json).unwrap();
    pointer["generation"].as_u64().unwrap()
}
