//! What a crash leaves is made good; what only damage leaves is refused by name.

use crate::storage::{append, edit_raft, entry, job, open, options, raft_db, refusal, run_key};
use std::fs;
use std::path::Path;

/// A log of three runs: 1 to 3, 4 to 6, and 7, which is large and has several parts.
fn three_runs(dir: &Path) {
    let mut storage = open(dir);
    storage.log.write(&[append(1, 1..=3)]).unwrap();
    storage.log.write(&[append(1, 4..=6)]).unwrap();
    storage.log.write(&[job(None, vec![entry(1, 7, vec![7; 300 << 10])])]).unwrap();
}

fn remove(dir: &Path, key: &[u8]) {
    let db = raft_db(dir);
    assert!(db.remove(key).unwrap().is_some());
    db.flush().unwrap();
}

/// As if the last write had not been acknowledged when the crash came.
fn forget_witness(dir: &Path) {
    fs::remove_file(dir.join("raft-witness")).unwrap();
}

#[test]
fn every_flipped_bit_of_a_run_is_noticed_and_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    let length = raft_db(dir.path()).get(run_key(4, 0)).unwrap().unwrap().len();
    for at in (0..length).step_by(11) {
        edit_raft(dir.path(), &run_key(4, 0), |value| value[at] ^= 1);
        let message = refusal(&options(dir.path()));
        assert!(message.contains("the run of entries that begins at index 4"), "{message}");
        assert!(message.contains("replace this member"), "{message}");
        edit_raft(dir.path(), &run_key(4, 0), |value| value[at] ^= 1);
    }
    assert_eq!(open(dir.path()).restored.entries.len(), 7, "the refusals left everything as it was");
}

#[test]
fn damage_in_the_last_run_is_damage_too() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    edit_raft(dir.path(), &run_key(7, 3), |value| *value.last_mut().unwrap() ^= 1);
    assert!(refusal(&options(dir.path())).contains("index 7: its checksum is"));
}

#[test]
fn a_missing_run_in_the_middle_is_named() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    remove(dir.path(), &run_key(4, 0));
    let message = refusal(&options(dir.path()));
    assert!(message.contains("index 7: the entries 4 to 6 are missing"), "{message}");
}

#[test]
fn a_run_in_the_place_of_another_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    let first = raft_db(dir.path()).get(run_key(1, 0)).unwrap().unwrap();
    edit_raft(dir.path(), &run_key(4, 0), |value| *value = first.to_vec());
    assert!(refusal(&options(dir.path())).contains("index 4: its checksum is"));
}

#[test]
fn a_torn_tail_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    remove(dir.path(), &run_key(7, 3));
    forget_witness(dir.path());
    let mut storage = open(dir.path());
    assert_eq!(storage.restored.last().index.get(), 6);
    storage.log.write(&[append(2, [7])]).unwrap();
    drop(storage);
    assert_eq!(open(dir.path()).restored.entries.len(), 7);
}

#[test]
fn a_tail_that_was_acknowledged_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    for part in (0..4).rev() {
        remove(dir.path(), &run_key(7, part));
    }
    let message = refusal(&options(dir.path()));
    assert!(message.contains("it ends at 6@1 with record 4, but record 5 was once durable"), "{message}");
}

#[test]
fn the_first_record_of_a_write_does_not_vouch_for_the_last() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    // One write of several records: term, base, what is left of a run, the new run.
    drop(open(dir.path()).log.write(&[append(2, 3..=4)]));
    remove(dir.path(), &run_key(3, 0));
    let message = refusal(&options(dir.path()));
    assert!(message.contains("it ends at 2@1 with record 8, but record 9 was once durable"), "{message}");
}

#[test]
fn a_hard_state_that_is_gone_damaged_or_too_old_is_named() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    let old = raft_db(dir.path()).get(b"h").unwrap().unwrap();
    drop(open(dir.path()).log.write(&[append(2, [8])]));
    edit_raft(dir.path(), b"h", |value| *value = old.to_vec());
    assert!(
        refusal(&options(dir.path())).contains("term and vote: it holds term 1, but the log ends at 8@2")
    );
    edit_raft(dir.path(), b"h", |value| value[25] ^= 1);
    assert!(refusal(&options(dir.path())).contains("term and vote: its checksum is"));
    remove(dir.path(), b"h");
    assert!(refusal(&options(dir.path())).contains("term and vote: it is not there"));
}

#[test]
fn an_older_base_is_noticed_by_the_epoch() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    let old = raft_db(dir.path()).get(b"b").unwrap().unwrap();
    let mut reset = append(2, 21..=22);
    reset.reset = Some(kontiki::types::EntryId::new(2, 20));
    drop(open(dir.path()).log.write(&[reset]));
    edit_raft(dir.path(), b"b", |value| *value = old.to_vec());
    assert!(refusal(&options(dir.path())).contains("the base record: it is older than the run"));
}

#[test]
fn the_records_of_another_cluster_are_noticed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_runs(dir.path());
    let mut options_other = options(other.path());
    options_other.cluster = kontiki::types::ClusterId(8);
    drop(kontiki::storage::open(&options_other).unwrap().log.write(&[append(1, 1..=3)]));
    let foreign = raft_db(other.path()).get(run_key(1, 0)).unwrap().unwrap();
    edit_raft(dir.path(), &run_key(1, 0), |value| *value = foreign.to_vec());
    assert!(refusal(&options(dir.path())).contains("it belongs to cluster 8, not 7"));
}

#[test]
fn an_unfinished_snapshot_of_the_engine_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    for place in ["raft", "state-000001"] {
        fs::write(dir.path().join(place).join("snap.0000000000001234.generating"), b"short").unwrap();
    }
    assert_eq!(open(dir.path()).restored.entries.len(), 7);
}

#[test]
fn a_damaged_engine_is_an_error_and_not_a_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    fs::write(dir.path().join("raft/db"), vec![0xa5; 1 << 20]).unwrap();
    for name in crate::storage::names(&dir.path().join("raft")) {
        if name.starts_with("snap.") {
            fs::write(dir.path().join("raft").join(name), b"nonsense that is longer than a checksum")
                .unwrap();
        }
    }
    let mut options = options(dir.path());
    options.open_timeout = std::time::Duration::from_secs(5);
    let message = refusal(&options);
    assert!(message.contains("replace this member"), "{message}");
}
