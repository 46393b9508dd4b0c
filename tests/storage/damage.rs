//! What a crash leaves is repaired; what only damage leaves is refused by name.

use crate::storage::{append, edit_raft, entry, job, open, options, raft_db, refusal, run_key, store_all};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A log of three runs in the store: 1 to 3, 4 to 6, and 7, which is large and has several parts.
fn three_runs(dir: &Path) {
    let mut storage = open(dir);
    for write in [append(1, 1..=3), append(1, 4..=6), job(None, vec![entry(1, 7, vec![7; 20 << 10])])] {
        storage.log.write(&[write]).unwrap();
        store_all(&mut storage);
    }
}

/// The same, in the journal only: the first write is record 1.
fn three_records(dir: &Path) {
    let mut storage = open(dir);
    for write in [append(1, 1..=3), append(1, 4..=6), job(None, vec![entry(1, 7, vec![7; 20 << 10])])] {
        storage.log.write(&[write]).unwrap();
    }
}

fn remove(dir: &Path, key: &[u8]) {
    let db = raft_db(dir);
    assert!(db.remove(key).unwrap().is_some());
    db.flush().unwrap();
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("journal/segment-0")
}

/// Flips a bit of the journal.
fn flip(dir: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(segment(dir)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// As if the last write had not been acknowledged when the crash came.
fn forget_witness(dir: &Path) {
    fs::remove_file(dir.join("journal/witness")).unwrap();
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
        assert!(message.contains("docs/operations.md"), "{message}");
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
fn the_end_of_the_store_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    for part in (0..5).rev() {
        remove(dir.path(), &run_key(7, part));
        let message = refusal(&options(dir.path()));
        assert!(message.contains("it ends at 6@1, but once ended at 7@1"), "{message}");
    }
}

#[test]
fn a_store_that_the_journal_does_not_join_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    let mark = raft_db(dir.path()).get(b"j").unwrap().unwrap();
    drop(open(dir.path()).log.write(&[append(1, 8..=9)]));
    remove(dir.path(), &run_key(7, 0));
    assert!(refusal(&options(dir.path())).contains("it ends at 6@1, but the journal goes on at 8@1"));
    edit_raft(dir.path(), b"j", |value| value[20] ^= 1);
    assert!(refusal(&options(dir.path())).contains("the mark of the journal: its checksum is"));
    edit_raft(dir.path(), b"j", |value| *value = mark.to_vec());
    assert!(refusal(&options(dir.path())).contains("acknowledged entries are lost"));
}

#[test]
fn a_torn_write_to_the_journal_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    three_records(dir.path());
    // The first record lies behind the header, each record on sectors of its own.
    flip(dir.path(), 512 + 2 * 512 + 5000);
    forget_witness(dir.path());
    let mut storage = open(dir.path());
    assert_eq!(storage.restored.last().index.get(), 6);
    storage.log.write(&[append(2, [7])]).unwrap();
    drop(storage);
    assert_eq!(open(dir.path()).restored.entries.len(), 7);
}

#[test]
fn a_write_that_was_acknowledged_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    three_records(dir.path());
    flip(dir.path(), 512 + 2 * 512 + 5000);
    let message = refusal(&options(dir.path()));
    assert!(
        message.contains("it ends with record 2 (byte 1536 of segment-0), but record 3 was once durable"),
        "{message}"
    );
}

#[test]
fn a_record_is_missed_when_a_later_one_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    three_records(dir.path());
    forget_witness(dir.path());
    flip(dir.path(), 512 + 512 + 100);
    let message = refusal(&options(dir.path()));
    assert!(
        message.contains("it ends with record 1 (byte 1024 of segment-0), but record 2 was once durable"),
        "{message}"
    );
}

#[test]
fn an_unreadable_header_is_named() {
    let dir = tempfile::tempdir().unwrap();
    three_records(dir.path());
    forget_witness(dir.path());
    for at in [0, 20, 511] {
        flip(dir.path(), at);
        assert!(refusal(&options(dir.path())).contains("segment-0: its header cannot be read"));
        flip(dir.path(), at);
    }
    assert_eq!(open(dir.path()).restored.entries.len(), 7);
}

#[test]
fn a_segment_that_is_gone_or_short_is_named() {
    let dir = tempfile::tempdir().unwrap();
    three_records(dir.path());
    fs::rename(segment(dir.path()), dir.path().join("elsewhere")).unwrap();
    assert!(refusal(&options(dir.path())).contains("segment-0: it is missing"));
    fs::rename(dir.path().join("elsewhere"), segment(dir.path())).unwrap();
    fs::File::options().write(true).open(segment(dir.path())).unwrap().set_len(1000).unwrap();
    assert!(refusal(&options(dir.path())).contains("segment-0: it has 1000 bytes"));
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    assert!(refusal(&options(dir.path())).contains("journal is missing"));
}

#[test]
fn a_store_that_is_ahead_of_the_journal_is_noticed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_runs(dir.path());
    // The journal of a directory that has seen nothing.
    drop(open(other.path()));
    for name in crate::storage::names(&other.path().join("journal")) {
        fs::copy(other.path().join("journal").join(&name), dir.path().join("journal").join(&name)).unwrap();
    }
    let message = refusal(&options(dir.path()));
    assert!(message.contains("it ends with record 0 (nothing), but record 3 was once durable"), "{message}");
}

#[test]
fn a_hard_state_that_is_gone_damaged_or_too_old_is_named() {
    let dir = tempfile::tempdir().unwrap();
    three_runs(dir.path());
    let old = raft_db(dir.path()).get(b"h").unwrap().unwrap();
    let mut storage = open(dir.path());
    storage.log.write(&[append(2, [8])]).unwrap();
    store_all(&mut storage);
    drop(storage);
    edit_raft(dir.path(), b"h", |value| *value = old.to_vec());
    assert!(refusal(&options(dir.path())).contains("it holds term 1, but the log ends at 8@2"));
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
    let mut storage = open(dir.path());
    storage.log.write(&[reset]).unwrap();
    store_all(&mut storage);
    drop(storage);
    edit_raft(dir.path(), b"b", |value| *value = old.to_vec());
    assert!(refusal(&options(dir.path())).contains("the base record: it is older than the run"));
}

// The member of the same name in another cluster of the same names, as any two clusters of `kontiki dev` have it, and the
// next member of the same cluster: both have everything in common but the directory.

#[test]
fn the_records_of_another_directory_are_noticed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_runs(dir.path());
    three_runs(other.path());
    let foreign = raft_db(other.path()).get(run_key(1, 0)).unwrap().unwrap();
    edit_raft(dir.path(), &run_key(1, 0), |value| *value = foreign.to_vec());
    assert!(refusal(&options(dir.path())).contains("it belongs to directory"));
}

#[test]
fn the_log_of_another_directory_is_noticed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_runs(dir.path());
    three_runs(other.path());
    replace_dir(&other.path().join("raft"), &dir.path().join("raft"));
    assert!(refusal(&options(dir.path())).contains("it belongs to directory"));
}

#[test]
fn the_journal_of_another_directory_is_noticed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_records(dir.path());
    three_records(other.path());
    replace_dir(&other.path().join("journal"), &dir.path().join("journal"));
    assert!(
        refusal(&options(dir.path()))
            .contains("segment-0: its header cannot be read, or belongs to another directory")
    );
}

#[test]
fn the_state_of_another_directory_is_noticed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop((open(dir.path()), open(other.path())));
    replace_dir(&other.path().join("state-000001"), &dir.path().join("state-000001"));
    let refusal = refusal(&options(dir.path()));
    assert!(refusal.contains("state-000001 is damaged: its owner: it belongs to directory"), "{refusal}");
}

#[test]
fn a_state_without_an_owner_is_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::remove_file(dir.path().join("state-000001/owner")).unwrap();
    assert!(refusal(&options(dir.path())).contains("owner is missing"));
}

fn replace_dir(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    fs::rename(from, to).unwrap();
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
    assert!(message.contains("docs/operations.md"), "{message}");
}
