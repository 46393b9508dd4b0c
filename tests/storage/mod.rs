//! Storage on real disks: what comes back after a reopen, a crash, damage.
#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod crash;
mod damage;
mod directory;
mod log;
mod snapshot;
mod states;
mod table;
mod vacuum;

use bytes::Bytes;
use kontiki::raft::{Entry, HardState, Mark, Payload, Persist};
use kontiki::storage::{self, LogSettings, Options, Storage};
use kontiki::types::{ClusterId, EntryId, NodeId, Term};
use std::path::Path;
use std::time::Duration;

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        cluster: ClusterId(7),
        founders: [(NodeId(1), "n1".into())].into(),
        cluster_token: "test".into(),
        node: NodeId(1),
        name: "n1".into(),
        fsync: true,
        // The store takes over what there is, whenever it is asked to.
        // At a start all of it is loaded.
        log: LogSettings { backlog_bytes: 0, tail_bytes: usize::MAX, ..LogSettings::default() },
        cache_bytes: 8 << 20,
        vacuum: Default::default(),
        open_timeout: Duration::from_secs(60),
    }
}

fn open(dir: &Path) -> Storage {
    storage::open(&options(dir)).expect("the directory opens")
}

/// Moves all of the log into its store.
fn store_all(storage: &mut Storage) {
    while storage.storer.step().unwrap().is_some() {}
}

/// The message with which a directory is refused.
fn refusal(options: &Options) -> String {
    storage::open(options).expect_err("the directory is refused").to_string()
}

fn entry(term: u64, index: u64, command: impl Into<Bytes>) -> Entry {
    Entry { id: EntryId::new(term, index), payload: Payload::Command(command.into()) }
}

fn entries(term: u64, indexes: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    indexes.into_iter().map(|index| entry(term, index, format!("{index}@{term}"))).collect()
}

fn job(hard_state: Option<HardState>, entries: Vec<Entry>) -> Persist {
    Persist { mark: Mark(1), hard_state, reset: None, entries }
}

/// A job that appends entries of one term, with a hard state of that term.
fn append(term: u64, indexes: impl IntoIterator<Item = u64>) -> Persist {
    job(Some(HardState { term: Term(term), vote: None }), entries(term, indexes))
}

/// The log's database, opened with the engine alone. Nobody else may have it open.
fn raft_db(dir: &Path) -> sled::Db {
    let config = sled::Config::new().path(dir.join("raft")).segment_size(1 << 20).flush_every_ms(None);
    // The engine releases its lock a moment after it was closed.
    for _ in 0..1000 {
        if let Ok(db) = config.open() {
            return db;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    config.open().expect("the engine opens")
}

/// Changes one record of the log behind the storage's back.
fn edit_raft(dir: &Path, key: &[u8], edit: impl FnOnce(&mut Vec<u8>)) {
    let db = raft_db(dir);
    let mut value = db.get(key).unwrap().expect("the record is there").to_vec();
    edit(&mut value);
    db.insert(key, value).unwrap();
    db.flush().unwrap();
}

/// The key of a part of the run that begins at `first`.
fn run_key(first: u64, part: u16) -> Vec<u8> {
    [b"r".as_slice(), &first.to_be_bytes(), &part.to_be_bytes()].concat()
}

/// The names below a directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
