//! A crash at any point of a write leaves the log as it was before the write or as it is after it; and one at
//! any point of the moving of the log into its store leaves the log as it is.

use crate::storage::{append, entry, job, open, store_all};
use fastrand::Rng;
use kontiki::raft::Persist;
use kontiki::storage::RestoredLog;
use kontiki::types::EntryId;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;

/// The files of a data directory at one moment.
#[derive(Clone)]
struct Picture(BTreeMap<PathBuf, Vec<u8>>);

impl Picture {
    fn of(dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(dir, Path::new(""), &mut files);
        Self(files)
    }

    /// What a node finds that starts with these files.
    fn restored(&self, context: impl std::fmt::Display) -> RestoredLog {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in &self.0 {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        for db in ["raft", "state-000001"] {
            fs::create_dir_all(dir.path().join(db).join("blobs")).unwrap();
        }
        let opened = kontiki::storage::open(&crate::storage::options(dir.path()));
        opened.unwrap_or_else(|error| panic!("{context}: {error}")).restored
    }

    /// This one, with one file as it was in another.
    fn with(&self, path: &Path, bytes: Vec<u8>) -> Self {
        let mut picture = self.clone();
        picture.0.insert(path.to_owned(), bytes);
        picture
    }
}

fn collect(root: &Path, at: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(root.join(at)).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(path.clone(), fs::read(root.join(path)).unwrap());
        }
    }
}

/// Where two contents of a file differ.
fn changed(before: &[u8], after: &[u8]) -> Option<Range<usize>> {
    let differs = |at: &usize| before.get(*at) != after.get(*at);
    let first = (0..after.len()).find(differs)?;
    let last = (0..after.len()).rev().find(differs)?;
    Some(first..last + 1)
}

/// Before a write and after it, and what it has changed of the journal.
struct Write {
    before: Picture,
    after: Picture,
    segment: PathBuf,
    sectors: Range<usize>,
}

impl Write {
    fn new(setup: &[Persist], last: &[Persist]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut live = open(dir.path());
        for job in setup {
            live.log.write(std::slice::from_ref(job)).unwrap();
        }
        let before = Picture::of(dir.path());
        live.log.write(last).unwrap();
        let after = Picture::of(dir.path());
        let segments = after.0.iter().filter(|(path, _)| path.starts_with("journal/segment-0"));
        let mut changes =
            segments.filter_map(|(path, bytes)| Some((path.clone(), changed(&before.0[path], bytes)?)));
        let (segment, bytes) = changes.next().expect("the write is in the journal");
        assert!(changes.next().is_none(), "and in one segment of it");
        let sectors = bytes.start / SECTOR..bytes.end.div_ceil(SECTOR);
        Self { before, after, segment, sectors }
    }

    /// The directory if only some sectors of the write have reached the platter.
    fn torn(&self, has_reached: impl Fn(usize) -> bool) -> Picture {
        let mut bytes = self.before.0[&self.segment].clone();
        for sector in self.sectors.clone().filter(|sector| has_reached(*sector)) {
            let place = sector * SECTOR..(sector + 1) * SECTOR;
            bytes[place.clone()].copy_from_slice(&self.after.0[&self.segment][place]);
        }
        self.before.with(&self.segment, bytes)
    }
}

/// Lets the power fail within a write: any prefix of its sectors, and any other part of them.
fn assert_all_or_nothing(setup: &[Persist], last: &[Persist]) {
    let write = Write::new(setup, last);
    let (before, after) = (write.before.restored("before"), write.after.restored("after"));
    assert_ne!(before, after);
    let step = (write.sectors.len() / 8).max(1);
    for end in write.sectors.clone().step_by(step) {
        let restored = write.torn(|sector| sector < end).restored(end);
        assert!(restored == before, "the first sectors, up to {end}");
    }
    assert!(write.torn(|_| true).restored("all") == after, "it is the whole write");
    let mut rng = Rng::with_seed(1);
    for _ in 0..8 {
        let lost = rng.usize(write.sectors.clone());
        let kept: Vec<bool> = write.sectors.clone().map(|sector| sector != lost && rng.bool()).collect();
        let restored = write.torn(|sector| kept[sector - write.sectors.start]).restored(lost);
        assert!(restored == before, "some sectors, but not {lost}");
    }
}

#[test]
fn an_append() {
    let large = job(None, vec![entry(2, 5, vec![5; 40 << 10])]);
    assert_all_or_nothing(&[append(1, 1..=2)], &[append(2, 3..=4), large]);
}

#[test]
fn the_first_write() {
    assert_all_or_nothing(&[], &[append(1, 1..=30)]);
}

#[test]
fn a_truncation() {
    let setup = [append(1, 1..=10), append(1, 11..=20), append(1, 21..=30)];
    assert_all_or_nothing(&setup, &[append(2, 6..=80)]);
}

#[test]
fn a_reset() {
    let mut reset = append(3, 101..=160);
    reset.reset = Some(EntryId::new(2, 100));
    assert_all_or_nothing(&[append(1, 1..=10), append(1, 11..=20)], &[reset]);
}

/// Lets the power fail while the log is moved into its store: at many points of the bytes that the engine wrote.
fn assert_never_missed(setup: &[Persist], last: &[Persist], through: Option<EntryId>) {
    let dir = tempfile::tempdir().unwrap();
    let mut live = open(dir.path());
    live.log.write(setup).unwrap();
    store_all(&mut live);
    live.log.write(last).unwrap();
    let before = Picture::of(dir.path());
    if let Some(through) = through {
        live.log.compact(through).unwrap();
    }
    store_all(&mut live);
    drop(live);
    let after = Picture::of(dir.path());
    let db = Path::new("raft/db");
    let (old, new) = (&before.0[db], &after.0[db]);
    let moved = changed(old, new).expect("the store has been written to");
    let whole = after.restored("after");
    for cut in moved.clone().step_by((moved.len() / 24).max(1)).chain([moved.end]) {
        let rest = old.get(cut..).unwrap_or_default();
        let restored = before.with(db, [&new[..cut], rest].concat()).restored(cut);
        assert!(restored.hard_state == whole.hard_state, "cut at {cut}");
        assert_eq!(restored.last(), whole.last(), "cut at {cut}");
        assert!(
            restored.entries.ends_with(&whole.entries),
            "cut at {cut}: {} or more entries",
            whole.entries.len()
        );
        assert!([before.restored(cut).base, whole.base].contains(&restored.base), "cut at {cut}");
    }
}

#[test]
fn storing_an_append() {
    let large = job(None, vec![entry(2, 205, vec![5; 40 << 10])]);
    assert_never_missed(&[append(1, 1..=200)], &[append(2, 201..=204), large], None);
}

#[test]
fn storing_a_truncation_inside_a_run() {
    assert_never_missed(&[append(1, 1..=300)], &[append(2, 137..=140)], None);
}

#[test]
fn storing_two_logs_that_replace_each_other() {
    assert_never_missed(&[append(1, 1..=300)], &[append(2, 137..=250), append(3, 50..=60)], None);
}

#[test]
fn storing_a_reset() {
    let mut reset = append(3, 101..=102);
    reset.reset = Some(EntryId::new(2, 100));
    let large = job(None, vec![entry(1, 21, vec![5; 40 << 10])]);
    assert_never_missed(&[append(1, 1..=20), large], &[reset], None);
}

#[test]
fn storing_a_compaction() {
    assert_never_missed(&[append(1, 1..=300)], &[append(1, 301..=310)], Some(EntryId::new(1, 290)));
}
