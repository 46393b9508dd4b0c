//! A crash at any point of a write leaves a log that this node may truthfully have.

use crate::storage::{append, entry, job, open};
use kontiki::raft::{Entry, Persist};
use kontiki::storage::{self, RestoredLog};
use kontiki::types::{EntryId, Index};
use std::fs;
use std::path::Path;

/// Writes `setup`, then `last`, and lets the power fail at many points of the
/// bytes that `last` wrote. Answers what came back each time.
fn crashes(setup: &[Persist], last: &[Persist]) -> (RestoredLog, RestoredLog, Vec<RestoredLog>) {
    let dir = tempfile::tempdir().unwrap();
    let mut live = open(dir.path());
    for job in setup {
        live.log.write(std::slice::from_ref(job)).unwrap();
    }
    let before = picture(dir.path());
    live.log.write(last).unwrap();
    let after = picture(dir.path());
    drop(live);

    let changed = changed(&before.log, &after.log);
    let step = (changed.len() / 16).max(1);
    let cuts = changed.clone().step_by(step).chain([changed.end]);
    let restored = cuts.map(|cut| {
        let crashed = tempfile::tempdir().unwrap();
        before.write(crashed.path(), &after.log[..cut]);
        storage::open(&crate::storage::options(crashed.path()))
            .unwrap_or_else(|error| panic!("cut at {cut}: {error}"))
            .restored
    });
    let restored = restored.collect();
    let whole = |picture: &Picture| {
        let dir = tempfile::tempdir().unwrap();
        picture.write(dir.path(), &[]);
        open(dir.path()).restored
    };
    (whole(&before), whole(&after), restored)
}

/// A data directory at one moment.
struct Picture {
    files: Vec<(std::path::PathBuf, Vec<u8>)>,
    log: Vec<u8>,
}

fn picture(dir: &Path) -> Picture {
    let mut files = Vec::new();
    collect(dir, Path::new(""), &mut files);
    let log = fs::read(dir.join("raft/db")).unwrap();
    Picture { files, log }
}

fn collect(root: &Path, at: &Path, files: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(at)).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, files);
        } else {
            files.push((path.clone(), fs::read(root.join(path)).unwrap()));
        }
    }
}

impl Picture {
    /// Puts the directory back, with the log's file as it was up to a point of a later write.
    fn write(&self, dir: &Path, newer: &[u8]) {
        for (path, bytes) in &self.files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        for db in ["raft", "state-000001"] {
            fs::create_dir_all(dir.join(db).join("blobs")).unwrap();
        }
        let old = self.log.get(newer.len()..).unwrap_or_default();
        fs::write(dir.join("raft/db"), [newer, old].concat()).unwrap();
    }
}

fn changed(before: &[u8], after: &[u8]) -> std::ops::Range<usize> {
    let differs = |at: &usize| before.get(*at) != after.get(*at);
    let first = (0..after.len()).find(differs).unwrap();
    let last = (0..after.len()).rev().find(differs).unwrap();
    first..last + 1
}

/// The entries of a log, cut off behind an index.
fn up_to(entries: &[Entry], index: Index) -> &[Entry] {
    &entries[..entries.iter().take_while(|entry| entry.id.index <= index).count()]
}

#[test]
fn an_append() {
    let large = job(None, vec![entry(2, 5, vec![5; 400 << 10])]);
    let (before, after, crashed) = crashes(&[append(1, 1..=2)], &[append(2, 3..=4), large]);
    for log in crashed {
        assert!(log.entries.len() >= before.entries.len(), "an acknowledged entry is gone");
        assert_eq!(log.entries, up_to(&after.entries, log.last().index));
        assert!(log.hard_state.term >= log.last().term, "entries without their term");
    }
}

#[test]
fn a_truncation_inside_a_run() {
    let setup = [append(1, 1..=10), append(1, 11..=20), append(1, 21..=30)];
    let (before, after, crashed) = crashes(&setup, &[append(2, 6..=8)]);
    assert_eq!((before.entries.len(), after.entries.len()), (30, 8));
    let mut seen = Vec::new();
    for log in crashed {
        assert!(log.entries.len() >= 5, "only what was replaced may be gone");
        let expected = if log.last().term == after.last().term { &after } else { &before };
        assert_eq!(log.entries, up_to(&expected.entries, log.last().index));
        seen.push(log.entries.len());
    }
    seen.dedup();
    assert!(seen.len() > 2, "there are states in between: {seen:?}");
}

#[test]
fn a_reset() {
    let mut reset = append(3, 101..=102);
    reset.reset = Some(EntryId::new(2, 100));
    let large = job(None, vec![entry(1, 21, vec![5; 400 << 10])]);
    let (before, after, crashed) = crashes(&[append(1, 1..=10), append(1, 11..=20), large], &[reset]);
    for log in crashed {
        if log.base == before.base {
            assert_eq!(log.entries, before.entries, "the old log is whole until the base has moved");
        } else {
            assert_eq!(log.base, after.base);
            assert_eq!(
                log.entries,
                up_to(&after.entries, log.last().index),
                "nothing of the old log comes back"
            );
        }
    }
}

#[test]
fn a_compaction() {
    // The compaction itself writes nothing to disk at once: what follows it does.
    let dir = tempfile::tempdir().unwrap();
    let mut live = open(dir.path());
    live.log.write(&[append(1, 1..=10)]).unwrap();
    live.log.write(&[append(1, 11..=20)]).unwrap();
    let before = picture(dir.path());
    live.log.compact(EntryId::new(1, 15)).unwrap();
    live.log.write(&[append(1, 21..=21)]).unwrap();
    let after = picture(dir.path());
    drop(live);
    let changed = changed(&before.log, &after.log);
    for cut in changed.clone().step_by((changed.len() / 16).max(1)) {
        let crashed = tempfile::tempdir().unwrap();
        before.write(crashed.path(), &after.log[..cut]);
        let log = open(crashed.path()).restored;
        assert!(log.last().index.get() >= 20, "an acknowledged entry is gone");
        assert_eq!(log.last().index.get() - log.base.index.get(), log.entries.len() as u64);
        assert!([0, 15].contains(&log.base.index.get()));
    }
}
