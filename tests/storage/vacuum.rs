//! A state that takes far more than its records moves to a smaller file, and nothing of it is lost on the way.

use crate::storage::snapshot::{file, header};
use crate::storage::states::{copy, state_dirs, wait_for_state_dirs};
use crate::storage::table::all;
use crate::storage::{options, refusal};
use bytes::Bytes;
use kontiki::machine::Table;
use kontiki::storage::{self, StateStore, Storage, VacuumSettings};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// As much room as anything needs.
const ROOM: u64 = u64::MAX;

/// Every state is too large, and the least possible moves in a step.
const ALWAYS: VacuumSettings = VacuumSettings { times: 0, bytes: 0, step: Duration::ZERO };

fn open(dir: &Path, vacuum: VacuumSettings) -> Storage {
    storage::open(&storage::Options { vacuum, ..options(dir) }).expect("the directory opens")
}

/// Moves everything, in one go.
fn move_all(states: &dyn StateStore, live: u64) {
    assert!(states.vacuum(live, ROOM).unwrap(), "it begins to move");
    while states.vacuum(live, ROOM).unwrap() {}
}

fn key(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn fill(table: &dyn Table, numbers: std::ops::Range<u32>, bytes: usize) -> Map {
    let records: Map = numbers.map(|number| (key(number), vec![number as u8; bytes])).collect();
    records.iter().for_each(|(key, value)| table.set(key, value).unwrap());
    records
}

fn assert_has(table: &dyn Table, expected: &Map) {
    let found: Map = all(table).into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    assert!(found == *expected, "{} records instead of {}", found.len(), expected.len());
}

fn size(dir: &Path) -> u64 {
    let states = state_dirs(dir).into_iter();
    states.map(|state| fs::metadata(dir.join(state).join("db")).unwrap().len()).sum()
}

#[test]
fn an_emptied_state_gives_its_disk_back() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), VacuumSettings::default());
    let table = storage.states.table();
    let mut expected = fill(&*table, 0..14_000, 4000);
    let live = |records: &Map| records.len() as u64 * 4004;
    assert!(!storage.states.vacuum(live(&expected), ROOM).unwrap(), "it is as large as it must be");
    for number in 100..14_000 {
        table.remove(&key(number)).unwrap();
        expected.remove(&key(number));
    }
    let before = size(dir.path());
    // Once more has gone than an eighth, it waits until the rest has.
    assert!(!storage.states.vacuum(live(&expected), ROOM).unwrap());
    move_all(&*storage.states, live(&expected));
    assert_has(&*table, &expected);
    // Nobody reads the old file any more; the next step notices.
    assert!(!storage.states.vacuum(live(&expected), ROOM).unwrap());
    wait_for_state_dirs(dir.path(), &["state-000002"]);
    let after = size(dir.path());
    assert!(after * 5 < before, "{after} bytes of {before}");
    drop((table, storage));
    assert_has(&*open(dir.path(), VacuumSettings::default()).states.table(), &expected);
}

#[test]
fn what_is_changed_while_records_move_is_changed_in_the_new_file_too() {
    for seed in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path(), ALWAYS);
        let table = storage.states.table();
        let mut expected = fill(&*table, 0..2000, 300);
        let moved = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                move_all(&*storage.states, 0);
                moved.store(true, Ordering::Relaxed);
            });
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut left_after = 200;
            while left_after > 0 {
                left_after -= u32::from(moved.load(Ordering::Relaxed));
                let key = key(rng.u32(0..3000));
                if rng.u8(0..4) == 0 {
                    table.remove(&key).unwrap();
                    expected.remove(&key);
                } else {
                    // Some take several records of the engine.
                    let bytes = if rng.u8(0..20) == 0 { 30_000 } else { 300 };
                    let value = vec![rng.u8(..); bytes];
                    table.set(&key, &value).unwrap();
                    expected.insert(key, value);
                }
            }
        });
        assert_has(&*table, &expected);
        assert!(state_dirs(dir.path()).contains(&"state-000002".to_owned()), "seed {seed}: it has moved");
        drop((table, storage));
        assert_has(&*open(dir.path(), ALWAYS).states.table(), &expected);
    }
}

#[test]
fn a_crash_at_any_step_leaves_all_records() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), ALWAYS);
    let table = storage.states.table();
    let mut expected = fill(&*table, 0..1000, 500);
    let mut steps = 0;
    loop {
        // Half of the changes are to what has moved already.
        for number in [steps, 999 - steps] {
            table.set(&key(number), &[7; 300]).unwrap();
            expected.insert(key(number), vec![7; 300]);
        }
        table.sync().unwrap();
        let crashed = tempfile::tempdir().unwrap();
        copy(dir.path(), crashed.path());
        let found = open(crashed.path(), VacuumSettings::default());
        assert_has(&*found.states.table(), &expected);
        assert_eq!(state_dirs(crashed.path()).len(), 1, "after {steps} steps: the other one is removed");
        steps += 1;
        if !storage.states.vacuum(0, ROOM).unwrap() {
            break;
        }
    }
    assert!(steps > 5, "only {steps} steps");
    assert_has(&*table, &expected);
}

#[test]
fn a_snapshot_that_comes_in_meanwhile_takes_the_place_of_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), ALWAYS);
    fill(&*storage.states.table(), 0..2000, 500);
    for _ in 0..3 {
        assert!(storage.states.vacuum(0, ROOM).unwrap());
    }
    let records: Vec<(Bytes, Bytes)> =
        (0..50_u8).map(|number| (vec![number].into(), vec![number; 20].into())).collect();
    let mut staged = storage.states.stage().unwrap();
    staged.push(&file(&records)).unwrap();
    let verified = staged.finish().unwrap();
    assert_eq!(*verified.header(), header());
    assert!(storage.states.vacuum(0, ROOM).unwrap(), "it goes on while the snapshot waits");
    verified.activate().unwrap();
    assert!(all(&*storage.states.table()) == records);
    wait_for_state_dirs(dir.path(), &["state-000003"]);
    // That one moves as well.
    move_all(&*storage.states, 0);
    assert!(all(&*storage.states.table()) == records);
    drop(storage);
    let found = open(dir.path(), ALWAYS);
    assert!(all(&*found.states.table()) == records);
    assert!(found.states.installed().is_some(), "it still comes from a snapshot");
}

#[test]
fn a_reader_keeps_the_old_file_until_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), ALWAYS);
    let table = storage.states.table();
    let expected = fill(&*table, 0..2000, 500);
    {
        let mut reader = table.scan(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
        reader.next().unwrap().unwrap();
        move_all(&*storage.states, 0);
        assert!(!storage.states.vacuum(0, ROOM).unwrap());
        assert_eq!(state_dirs(dir.path()), ["state-000001", "state-000002"]);
        assert_eq!(1 + reader.map(Result::unwrap).count(), expected.len());
    }
    assert!(!storage.states.vacuum(0, ROOM).unwrap());
    wait_for_state_dirs(dir.path(), &["state-000002"]);
}

#[test]
fn without_room_for_two_files_nothing_moves() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), ALWAYS);
    fill(&*storage.states.table(), 0..100, 500);
    assert!(!storage.states.vacuum(100 << 20, 200 << 20).unwrap());
    assert!(storage.states.vacuum(100 << 20, 220 << 20).unwrap());
}

#[test]
fn a_disk_that_fills_meanwhile_ends_the_move_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), ALWAYS);
    let table = storage.states.table();
    let mut expected = fill(&*table, 0..2000, 500);
    for _ in 0..3 {
        assert!(storage.states.vacuum(0, ROOM).unwrap());
    }
    assert!(!storage.states.vacuum(0, 0).unwrap());
    wait_for_state_dirs(dir.path(), &["state-000001"]);
    expected.extend(fill(&*table, 1990..2010, 100));
    assert_has(&*table, &expected);
    // It tries again as soon as there is room.
    move_all(&*storage.states, 0);
    assert_has(&*table, &expected);
}

#[test]
fn a_new_file_of_another_directory_is_refused_like_any() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path(), ALWAYS);
    fill(&*storage.states.table(), 0..100, 500);
    move_all(&*storage.states, 0);
    drop(storage);
    let other = tempfile::tempdir().unwrap();
    drop(open(other.path(), ALWAYS));
    fs::remove_dir_all(other.path().join("state-000001")).unwrap();
    copy(&dir.path().join("state-000002"), &other.path().join("state-000002"));
    fs::copy(dir.path().join("CURRENT"), other.path().join("CURRENT")).unwrap();
    let message = refusal(&options(other.path()));
    assert!(message.contains("it belongs to directory"), "{message}");
}
