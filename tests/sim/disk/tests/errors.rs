//! Errors that the disk reports: the first one is final, and nothing acknowledged is gone.

use super::states::put;
use super::{CLUSTER, Model, formatted, open};
use crate::sim::disk::{DiskOptions, Fault, Part, SimDisk, Survival};
use fastrand::Rng;
use kontiki::kv::TableError;
use kontiki::machine::Machine;
use kontiki::storage::RestoredLog;
use kontiki::types::EntryId;
use std::time::{Duration, Instant};

/// Writes until the fault strikes; answers what was acknowledged before.
fn until_it_fails(disk: &SimDisk, rng: &mut Rng, fault: Fault) -> Model {
    let mut log = open(disk, "before the fault").log;
    let mut model = Model::default();
    assert!(disk.arm(fault));
    loop {
        let jobs = model.jobs(rng);
        let Err(error) = log.write(&jobs) else {
            model = model.after(&jobs);
            continue;
        };
        assert!(error.to_string().contains("os error"), "{error}");
        assert_eq!(log.write(&jobs), Err(error), "the first error is final");
        return model;
    }
}

/// All that was acknowledged is there; of the write that failed there may be some.
fn check(restored: &RestoredLog, acknowledged: &Model, context: impl std::fmt::Display) {
    assert!(restored.hard_state.term >= acknowledged.log.hard_state.term, "{context}");
    assert!(restored.last().term >= acknowledged.log.last().term, "{context}");
}

#[test]
fn a_write_that_fails() {
    for seed in 0..40 {
        let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
        let fault = Fault::WriteError { part: Part::Log, after: rng.u32(..20) };
        let acknowledged = until_it_fails(&disk, &mut rng, fault);
        assert_eq!(disk.counts()["write error"], 1);
        disk.crash(rng.bool());
        check(&open(&disk, seed).restored, &acknowledged, seed);
    }
}

#[test]
fn a_sync_that_fails_before_a_power_cut() {
    for seed in 0..40 {
        let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
        let fault = Fault::SyncError { part: Part::Log, after: rng.u32(..10) };
        let acknowledged = until_it_fails(&disk, &mut rng, fault);
        let lost = ["failed sync that lost pages", "sync error of a directory"];
        assert!(lost.iter().any(|what| disk.counts().contains_key(what)));
        disk.cut_power(Survival::random(&mut rng));
        let restored = open(&disk, seed).restored;
        check(&restored, &acknowledged, seed);
    }
}

/// What a failed sync dropped stays in the cache and counts as clean. A restarted process that reads it there
/// would promise what is on no platter.
fn promises_after_a_failed_sync(open_drops_cache: bool) -> (u32, u32) {
    let (mut lost, mut refused) = (0, 0);
    for seed in 0..60 {
        let disk = SimDisk::new(seed, DiskOptions { open_drops_cache, ..DiskOptions::default() });
        disk.format().unwrap();
        let mut rng = Rng::with_seed(seed);
        let fault = Fault::SyncError { part: Part::Log, after: rng.u32(..10) };
        until_it_fails(&disk, &mut rng, fault);
        disk.kill();
        let promised = open(&disk, seed).restored;
        disk.cut_power(Survival::random(&mut rng));
        match disk.open(CLUSTER) {
            Ok(opened) if opened.lost.is_none() && opened.restored.last() == promised.last() => {}
            Ok(_) => lost += 1,
            Err(_) => refused += 1,
        }
    }
    (lost, refused)
}

#[test]
fn a_cache_that_is_trusted_after_a_failed_sync_breaks_promises() {
    let (lost, _) = promises_after_a_failed_sync(false);
    assert!(lost > 0, "the fault shows");
    assert_eq!(promises_after_a_failed_sync(true), (0, 0), "reading the platter is the cure");
}

#[test]
fn the_ledger_sees_what_a_failed_sync_has_lost() {
    for seed in 0..20 {
        let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
        let acknowledged = until_it_fails(&disk, &mut rng, Fault::SyncError { part: Part::Log, after: 6 });
        let durable = disk.durable();
        assert_eq!(durable.hard_state, acknowledged.log.hard_state, "seed {seed}");
        // Nothing of the write that failed; what it was to replace is not certain any more.
        assert!(durable.log.last.index <= acknowledged.log.last().index, "seed {seed}");
        for entry in &acknowledged.log.entries {
            let is_above = entry.id.index > durable.log.last.index;
            assert!(is_above || durable.log.covers(entry.id), "seed {seed}: {}", entry.id);
        }
    }
}

#[test]
fn a_full_disk() {
    for seed in 0..20 {
        let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
        let mut opened = open(&disk, seed);
        let mut model = Model::default();
        disk.leave_room(rng.u64(..20_000));
        while opened.states.free_bytes().unwrap() > 0 {
            let jobs = model.jobs(&mut rng);
            if opened.log.write(&jobs).is_err() {
                break;
            }
            model = model.after(&jobs);
        }
        assert!(disk.counts()["disk full"] >= 1);
        disk.leave_room(1 << 30);
        disk.crash(rng.bool());
        check(&open(&disk, seed).restored, &model, seed);
    }
}

#[test]
fn an_error_of_the_state_stops_its_machine() {
    for fault in
        [Fault::WriteError { part: Part::State, after: 2 }, Fault::SyncError { part: Part::State, after: 1 }]
    {
        let (disk, mut rng) = (formatted(1), Rng::with_seed(1));
        let table = open(&disk, 1).states.table();
        let mut machine = Machine::open(table.clone()).unwrap();
        disk.arm(fault);
        let mut write = |index| -> Result<(), TableError> {
            machine.apply(EntryId::new(1, index), &put(&mut rng).encode()).unwrap();
            machine.commit()?;
            machine.saver().save()?;
            table.sync()
        };
        write(1).unwrap();
        let error = write(2).unwrap_err();
        assert_eq!(table.sync(), Err(error.clone()), "the first error is final");
        assert_eq!(table.get(&[1]), Err(error), "reads fail too");
        disk.kill();
        let applied = Machine::open(open(&disk, 1).states.table()).unwrap().applied();
        assert!(applied >= disk.durable().applied && applied.index.get() >= 1);
    }
}

#[test]
fn a_stall_ends() {
    let (disk, now) = (formatted(1), Instant::now());
    let until = now + Duration::from_secs(60);
    disk.arm(Fault::Stall { part: Part::Log, until });
    assert_eq!(disk.stalled_until(Part::Log, now), Some(until));
    assert_eq!(disk.stalled_until(Part::State, now), None);
    assert_eq!(disk.stalled_until(Part::Log, until), None);
}
