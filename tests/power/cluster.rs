//! Three real nodes, each with a disk of its own, and power that fails for one, for most or for all of them.

use super::nodes::Powered;
use crate::cluster::writer::Writers;
use crate::faults::disk::{self, Loss};

/// How long a node is away when it is to need a snapshot afterwards.
const MISSED_WRITES: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_lost_in_order() {
    cut_again_and_again(Loss::Ordered, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_subset_is_lost() {
    cut_again_and_again(Loss::Subset, 200).await;
}

/// The test of the test: with `--unsafe-no-fsync` acknowledged writes are gone from every disk after a few cuts.
#[tokio::test(flavor = "multi_thread")]
async fn without_fsync_acknowledged_writes_are_lost() {
    if !disk::available() {
        return;
    }
    let mut seen = Vec::new();
    for seed in 1..=5 {
        let mut powered = Powered::start(super::first_seed() + seed, &["--unsafe-no-fsync"]).await;
        let writers = Writers::start(&powered.cluster, 4);
        writers.more(50).await;
        powered.observe().await;
        writers.more(1).await;
        powered.cut(&[0, 1, 2], Loss::Everything);
        drop(writers.finish().await);
        let (committed, ends) = (powered.committed(), powered.log_ends());
        if ends.iter().all(|end| *end < committed) {
            eprintln!("without fsync: committed up to {committed}, but the logs end at {ends:?}");
            return;
        }
        seen.push((committed, ends));
    }
    panic!("without fsync nothing was lost in five cuts, so the test sees nothing: {seen:?}");
}

async fn cut_again_and_again(loss: Loss, seed: u64) {
    if !disk::available() {
        return;
    }
    let seed = super::first_seed() + seed;
    eprintln!("{loss:?}: seed {seed} (again: KONTIKI_POWER_SEED={})", super::first_seed());
    let mut powered = Powered::start(seed, &["--log-retain-entries", "50"]).await;
    let writers = Writers::start(&powered.cluster, 4);
    // Each takes seconds: one for every twelve of the others.
    let cuts = super::cuts(48) / 12;
    while powered.cuts < cuts {
        let pause = powered.rng.u64(5..60);
        writers.more(pause).await;
        powered.observe().await;
        let who = powered.victims();
        powered.cut(&who, loss);
        powered.check_disks(&who);
        if who.len() == 1 && powered.rng.bool() {
            // Long enough that only a snapshot helps; and that one may be hit by the next cut.
            writers.more(MISSED_WRITES).await;
        }
        if powered.rng.bool() {
            powered.cut_during_start(&who, loss).await;
            powered.check_disks(&who);
        }
        powered.start_all();
        powered.all_answer().await;
    }
    writers.more(50).await;
    let promises = writers.finish().await;
    promises.assert_kept(&powered.cluster).await;
    powered.cluster.assert_equal_states().await;
    powered.observe().await;
    eprintln!("{loss:?}: {powered}; {} acknowledged writes are there", promises.writes.len());
}
