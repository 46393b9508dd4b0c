//! Real nodes on disks that fail an fsync, that hang, and that are full: a node ends rather than guess, the
//! others go on, and afterwards all that was acknowledged is there.

use super::nodes::Powered;
use crate::cluster::harness::{PATIENCE, get, put, text, until};
use crate::cluster::writer::{Promises, Writers};
use crate::faults::disk::{self, Loss};
use kontiki::proto::v1;
use std::time::{Duration, Instant};

/// The exit code of a process that could not end in order.
const EX_IOERR: i32 = 74;

/// What the watchdog says of a disk that hangs.
const GIVEN_UP: &str = "the disk has not answered for";

/// What an fsync did not write is in the page cache, and counts as written: the next process must not believe it. First
/// one node finds out, then all at once, and then the power fails too.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_on_a_failed_fsync_and_does_not_trust_the_cache_afterwards() {
    if !disk::available() {
        return;
    }
    let mut powered = Powered::start_cached(super::first_seed() + 300, &[]).await;
    let writers = Writers::start(&powered.cluster, 4);
    for round in 0..super::cuts(12).div_ceil(12) {
        let one = powered.rng.usize(..3);
        for who in [vec![one], vec![0, 1, 2]] {
            writers.more(20).await;
            fsyncs_fail(&mut powered, &who).await;
            powered.start_all();
            powered.all_answer().await;
        }
        directory_fsyncs_fail(&mut powered).await;
        powered.start_all();
        powered.all_answer().await;
        // What was read and promised since the restart is now asked of the disks alone.
        writers.more(20).await;
        powered.observe().await;
        let loss = if round % 2 == 0 { Loss::Everything } else { Loss::Subset };
        powered.cut(&[0, 1, 2], loss);
        powered.check_disks(&[0, 1, 2]);
        powered.start_all();
        powered.all_answer().await;
    }
    all_is_there(&powered, writers.finish().await).await;
}

/// Each of these nodes loses one of its next fsyncs, and must end for that.
async fn fsyncs_fail(powered: &mut Powered, who: &[usize]) {
    let before: Vec<u64> = (0..3).map(|place| failed_fsyncs(powered, place)).collect();
    for place in who {
        powered.disks[*place].fail_fsync_after(powered.rng.u64(1..20));
    }
    let mut running = who.to_vec();
    let started = Instant::now();
    while !running.is_empty() {
        assert!(started.elapsed() < PATIENCE, "{running:?} of {who:?} went on after a failed fsync");
        tokio::time::sleep(Duration::from_millis(10)).await;
        for place in std::mem::take(&mut running) {
            if powered.cluster.nodes[place].has_ended() {
                assert_ended_for_it(powered, place, before[place]).await;
            } else {
                running.push(place);
            }
        }
        // If the engine's own thread was the one that was told, the node learns of it with the next write; and whoever
        // is left alone has none, not even a term.
        if let [alone] = running[..]
            && who.len() == 3
            && failed_fsyncs(powered, alone) > before[alone]
        {
            powered.start_all();
        }
    }
}

/// Each node starts, and one of the dozen fsyncs of directories that a start makes fails: it must end for that, and
/// the next start must not believe in the names that it sees.
async fn directory_fsyncs_fail(powered: &mut Powered) {
    for place in 0..3 {
        let before = failed_fsyncs(powered, place);
        powered.cluster.nodes[place].kill();
        powered.disks[place].fail_directory_fsync_after(powered.rng.u64(1..=12));
        powered.cluster.nodes[place].start();
        assert_ended_for_it(powered, place, before).await;
    }
}

fn failed_fsyncs(powered: &Powered, place: usize) -> u64 {
    powered.disks[place].counters().failed_syncs
}

async fn assert_ended_for_it(powered: &mut Powered, place: usize, failed_before: u64) {
    let status = powered.cluster.nodes[place].exit().await;
    let failed = failed_fsyncs(powered, place);
    let node = &mut powered.cluster.nodes[place];
    assert_eq!(failed, failed_before + 1, "{} ended too early: {status}", node.name);
    assert!(!status.success(), "{} ended as if all were well", node.name);
    let said = node.log_tail(8);
    let reported = said.contains("error: ") && said.contains("Input/output error");
    assert!(reported, "{} ended with\n{said}", node.name);
}

/// As long as the watchdog's patience; so only where everything is tested.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_hangs_ends_while_the_cluster_goes_on() {
    if !super::takes_its_time() || !disk::available() {
        return;
    }
    let mut powered = Powered::start(super::first_seed() + 400, &["--timing", "fast"]).await;
    let writers = Writers::start(&powered.cluster, 4);
    writers.more(50).await;
    let hung = powered.cluster.leader().await;
    powered.disks[hung].hang_fsyncs(true);
    let started = Instant::now();
    powered.cluster.leader_other_than(Some(hung)).await;
    writers.more(50).await;
    let gap = started.elapsed();
    let node = &powered.cluster.nodes[hung];
    assert!(!node.log_text().contains(GIVEN_UP), "the others waited until the node gave up");
    until("the watchdog ends the node", || async { node.log_text().contains(GIVEN_UP).then_some(()) }).await;
    let took = started.elapsed();
    // The system cannot end the thread that waits for the disk before that answers; all others are gone.
    until("it answers no more", || async { node.status().await.is_none().then_some(()) }).await;
    writers.more(50).await;
    powered.disks[hung].hang_fsyncs(false);
    let status = powered.cluster.nodes[hung].exit().await;
    let said = powered.cluster.nodes[hung].log_tail(4);
    assert!([Some(1), Some(EX_IOERR)].contains(&status.code()), "{status}: {said}");
    eprintln!("50 writes with another leader after {gap:?}; given up after {took:?}: {status}; {said}");
    let limit = Duration::from_secs(if super::wall_time_counts() { 20 } else { 60 });
    assert!(took < limit, "the watchdog took {took:?}");
    powered.start_all();
    powered.all_answer().await;
    all_is_there(&powered, writers.finish().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nearly_full_disks_refuse_writes_and_full_ones_end_the_nodes() {
    if !disk::available() {
        return;
    }
    let mut powered = Powered::start(super::first_seed() + 500, &[]).await;
    let writers = Writers::start(&powered.cluster, 4);
    writers.more(50).await;
    nearly_full(&powered).await;
    writers.more(50).await;
    full(&mut powered).await;
    powered.disks.iter().for_each(disk::Disk::heal);
    powered.start_all();
    powered.all_answer().await;
    writers.more(50).await;
    all_is_there(&powered, writers.finish().await).await;
}

/// Little room is noticed in time: writes are refused, reads go on, and nobody ends.
async fn nearly_full(powered: &Powered) {
    let leader = &powered.cluster.nodes[powered.cluster.leader().await];
    until("a write is taken", || async { leader.kv().put(put("before", "full")).await.ok() }).await;
    powered.disks.iter().for_each(|disk| disk.leave_free(Some(40 << 20)));
    until("writes are refused", || async {
        let refused = leader.kv().put(put("no", "room")).await.err()?;
        refused.message().contains("nearly full").then_some(())
    })
    .await;
    let read = || async { leader.kv().get(get("before", v1::ReadLevel::Linearizable)).await.ok() };
    let answer = until("a read is answered", read).await.into_inner();
    assert_eq!(text(answer.kv).as_deref(), Some("full"));
    powered.disks.iter().for_each(|disk| disk.leave_free(None));
    until("writes are taken again", || async { leader.kv().put(put("yes", "room")).await.ok() }).await;
}

/// No room, and none was said to be missing: whoever must write ends. The engine takes its room in large steps.
async fn full(powered: &mut Powered) {
    for disk in &powered.disks {
        disk.leave_free_secretly(powered.rng.u64(..16_384));
    }
    let mut ended = 0;
    let started = Instant::now();
    let value = "v".repeat(400_000);
    while ended < 2 && started.elapsed() < Duration::from_secs(25) {
        for node in &powered.cluster.nodes {
            let mut request = tonic::Request::new(put("large", &value));
            request.set_timeout(Duration::from_millis(500));
            let _ = node.kv().put(request).await; // Whether it is taken is up to the disks.
        }
        ended = powered.cluster.nodes.iter_mut().filter_map(|node| node.has_ended().then_some(())).count();
    }
    eprintln!("{ended} nodes ended of full disks within {:?}", started.elapsed());
    assert!(ended > 1, "a majority wrote on");
    for (node, disk) in powered.cluster.nodes.iter_mut().zip(&powered.disks) {
        if node.has_ended() {
            let said = node.log_tail(8);
            let status = node.exit().await;
            assert!(
                !status.success() && disk.counters().refused_for_room > 0,
                "{} ended: {status}",
                node.name
            );
            assert!(
                said.contains("error: ") && said.contains("No space left on device"),
                "{} ended with\n{said}",
                node.name
            );
        } else {
            node.kill(); // It may be about to end.
        }
    }
}

async fn all_is_there(powered: &Powered, promises: Promises) {
    promises.assert_kept(&powered.cluster).await;
    powered.cluster.assert_equal_states().await;
    eprintln!("{} acknowledged writes are there", promises.writes.len());
}
