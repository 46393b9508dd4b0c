//! Replacing the state by a snapshot: the old one or the new one, never anything else.

use crate::storage::snapshot::{file, header};
use crate::storage::table::all;
use crate::storage::{names, open, refusal};
use bytes::Bytes;
use kontiki::storage::snapshot::encode;
use kontiki::storage::{SnapshotFileError, StageError, StateStore, VerifiedState};
use kontiki::types::ClusterId;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn records() -> Vec<(Bytes, Bytes)> {
    let mut records: Vec<(Bytes, Bytes)> =
        (0..3000_u32).map(|n| (n.to_be_bytes().to_vec().into(), vec![n as u8; 200].into())).collect();
    records.push((vec![9; 5].into(), vec![9; 1 << 20].into()));
    records
}

fn receive(states: &dyn StateStore) -> Box<dyn VerifiedState> {
    let mut staged = states.stage().unwrap();
    for piece in file(&records()).chunks(100_000) {
        staged.push(piece).unwrap();
    }
    staged.finish().unwrap()
}

pub fn state_dirs(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| name.starts_with("state-")).collect()
}

/// Old states are removed a moment after their last user is gone.
pub fn wait_for_state_dirs(dir: &Path, expected: &[&str]) {
    let started = Instant::now();
    while state_dirs(dir) != expected {
        assert!(started.elapsed() < Duration::from_secs(10), "{:?} instead of {expected:?}", state_dirs(dir));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_snapshot_replaces_the_state_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let old = storage.states.table();
    old.set(b"old", b"1").unwrap();
    let verified = receive(&*storage.states);
    assert_eq!(*verified.header(), header());
    assert_eq!(all(&*storage.states.table()).len(), 1, "nothing has changed yet");
    verified.activate().unwrap();
    let new = storage.states.table();
    assert!(all(&*new) == records());
    assert_eq!(all(&*old).len(), 1, "a reader keeps what it had");
    assert_eq!(state_dirs(dir.path()), ["state-000001", "state-000002"]);
    drop(old);
    wait_for_state_dirs(dir.path(), &["state-000002"]);
    drop((new, storage));
    assert!(all(&*open(dir.path()).states.table()) == records());
}

#[test]
fn what_is_not_activated_is_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    drop(receive(&*storage.states));
    let mut half = storage.states.stage().unwrap();
    half.push(&file(&records())[..300_000]).unwrap();
    assert!(matches!(half.finish(), Err(StageError::File(SnapshotFileError::Truncated { offset: 300_000 }))));
    wait_for_state_dirs(dir.path(), &["state-000001"]);
}

#[test]
fn a_damaged_snapshot_or_one_of_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let mut damaged = file(&records());
    damaged[500_000] ^= 1;
    let error = storage.states.stage().unwrap().push(&damaged).unwrap_err();
    assert!(error.to_string().contains("damaged at byte"), "{error}");

    let mut foreign = header();
    foreign.cluster = ClusterId(8);
    let start = encode(&foreign, []).next().unwrap().unwrap();
    let error = storage.states.stage().unwrap().push(&start).unwrap_err();
    assert_eq!(error, StageError::OtherCluster { found: ClusterId(8), expected: ClusterId(7) });
}

#[test]
fn a_crash_before_the_pointer_moves_leaves_the_old_state() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    storage.states.table().set(b"old", b"1").unwrap();
    let verified = receive(&*storage.states);
    let left_over = dir.path().join("state-000002");
    let saved = tempfile::tempdir().unwrap();
    copy(&left_over, &saved.path().join("state"));
    drop((verified, storage));
    wait_for_state_dirs(dir.path(), &["state-000001"]);
    // The crash: a whole new state, a half-written one, and a pointer that was never renamed.
    copy(&saved.path().join("state"), &left_over);
    fs::create_dir(dir.path().join("state-000007")).unwrap();
    fs::write(dir.path().join("CURRENT.tmp"), "{\"generation\": 2").unwrap();
    let storage = open(dir.path());
    assert_eq!(all(&*storage.states.table()).len(), 1);
    assert_eq!(state_dirs(dir.path()), ["state-000001"]);
    receive(&*storage.states).activate().unwrap();
    drop(storage);
    assert!(all(&*open(dir.path()).states.table()) == records());
}

#[test]
fn a_crash_after_the_pointer_has_moved_leaves_the_new_state() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    receive(&*storage.states).activate().unwrap();
    wait_for_state_dirs(dir.path(), &["state-000002"]);
    drop(storage);
    // The crash: the old state was removed in part only.
    fs::create_dir_all(dir.path().join("state-000001/blobs")).unwrap();
    let storage = open(dir.path());
    assert!(all(&*storage.states.table()) == records());
    assert_eq!(state_dirs(dir.path()), ["state-000002"]);
}

#[test]
fn a_state_that_is_gone_is_never_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::remove_dir_all(dir.path().join("state-000001")).unwrap();
    let message = refusal(&crate::storage::options(dir.path()));
    assert!(message.contains("state-000001 is missing"), "{message}");
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
