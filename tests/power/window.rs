//! Neither the log's store nor the state ever has as much as a segment of the engine unsynced: with more, a cut
//! may take what was synced before.

use crate::faults::disk::{self, Disk};
use crate::kv::support::{Store, compact, put, txn};
use bytes::Bytes;
use kontiki::kv::{KeyRange, Op};
use kontiki::machine::Command;
use kontiki::raft::{Entry, HardState, Mark, Members, Payload, Persist};
use kontiki::storage::snapshot::{SnapshotHeader, encode};
use kontiki::storage::{self, Options, Storage, VacuumSettings};
use kontiki::types::{ClusterId, EntryId, NodeId, Revision, Term};
use std::time::Duration;

const LOG_SEGMENT_BYTES: u64 = 1 << 20;
const STATE_SEGMENT_BYTES: u64 = 4 << 20;

#[test]
fn nothing_that_the_log_does_leaves_a_segment_unsynced() {
    if !disk::available() {
        return;
    }
    let disk = Disk::mount(1).unwrap();
    let mut storage = open(&disk);
    let mut measured = Vec::new();
    let mut measure = |what, storage: &mut Storage, work: &dyn Fn(&mut Storage)| {
        measured.push((what, most_unsynced(&disk, || work(storage))));
    };
    let store = |storage: &mut Storage| while storage.storer.step().unwrap().is_some() {};
    for (what, job) in [
        ("large entries", job(1, 1..=12, 1_000_000)),
        ("runs of large entries", job(1, 13..=1300, 3_000)),
        ("runs of small entries", job(1, 1301..=6000, 100)),
        ("a truncation", job(2, 700..=700, 10)),
    ] {
        // What the journal has unsynced while it is written does not concern the engine.
        storage.log.write(&[job]).unwrap();
        measure(what, &mut storage, &store);
    }
    storage.log.compact(EntryId::new(1, 690)).unwrap();
    measure("a compaction", &mut storage, &store);
    assert_below(LOG_SEGMENT_BYTES, &measured);
}

#[test]
fn nothing_that_the_state_does_leaves_a_segment_unsynced() {
    if !disk::available() {
        return;
    }
    let disk = Disk::mount(1).unwrap();
    let storage = open(&disk);
    let mut store = Store::open(storage.states.table());
    let mut measured = Vec::new();
    let mut measure = |what, work: &mut dyn FnMut()| measured.push((what, most_unsynced(&disk, work)));
    let large = "v".repeat(1 << 20);
    let keys = || (0..64).map(|number| format!("key/{number:08}"));
    let small = || (0..16_384).map(|number| format!("small/{number:08}"));
    let all_at_once = keys().map(|key| Op::Put(put(&key, &large[..60_000]))).collect();
    let all_at_once = Command::Txn(txn(vec![], all_at_once, vec![]));
    measure("large values", &mut || put_all(&mut store, keys(), &large, 1));
    measure("pages of large records", &mut || put_all(&mut store, keys(), &large[..16_000], 64));
    measure("a large transaction", &mut || {
        store.done(all_at_once.clone());
        store.commit();
    });
    let wide = || (0..500).map(|number| format!("wide/{number:03}{}", &large[..8000]));
    measure("a transaction as large as can be", &mut || {
        let puts = (0..262).map(|number| Op::Put(put(&format!("t/{number}"), &large[..16_000])));
        store.done(Command::Txn(txn(vec![], puts.collect(), vec![])));
        store.commit();
    });
    measure("a value as large as can be", &mut || {
        store.put("largest", &large.repeat(4));
        store.commit();
    });
    measure("long keys", &mut || put_all(&mut store, wide(), "v", 16));
    measure("a delete as large as can be", &mut || {
        store.delete(KeyRange::prefix("wide/"));
        store.commit();
    });
    measure("small values", &mut || put_all(&mut store, small(), &large[..256], 1024));
    measure("the same few keys, saved each time", &mut || {
        (0..4096).for_each(|number| {
            store.put(&format!("few/{}", number % 16), &large[..number % 1000]);
            store.commit();
        });
    });
    measure("a delete of all small ones", &mut || {
        store.delete(KeyRange::prefix("small/"));
        store.commit();
    });
    measure("a compaction", &mut || {
        let newest = store.commit().revision();
        store.done(compact(newest.get()));
        store.commit();
        store.collect(2048);
    });
    measure("cleaning while small values are written and saved", &mut || {
        for round in 0..16 {
            put_all(&mut store, small().take(1024), &large[..200 + round], 64);
            let newest = store.commit().revision();
            store.done(compact(newest.get()));
            while store.collect_some(64) {
                store.put("few/0", "v");
                store.commit();
            }
        }
    });
    measure("a move to another file, with changes", &mut || {
        let mut key = (0..).map(|number| format!("moved/{number}"));
        while storage.states.vacuum(0, u64::MAX).unwrap() {
            put_all(&mut store, key.by_ref().take(64), &large[..4000], 16);
        }
    });
    assert!(disk.join("data/state-000002").exists(), "it has moved");
    measure("a snapshot", &mut || install(&storage));
    assert_below(STATE_SEGMENT_BYTES, &measured);
}

/// Puts a value under each key, making `group` of them readable at a time.
fn put_all(store: &mut Store, keys: impl Iterator<Item = String>, value: &str, group: usize) {
    for (number, key) in (1..).zip(keys) {
        store.put(&key, value);
        if number % group == 0 {
            store.commit();
        }
    }
    store.commit();
}

/// The most that was unsynced of any file while this was done.
fn most_unsynced(disk: &Disk, work: impl FnOnce()) -> u64 {
    disk.reset_counters();
    work();
    disk.counters().most_unsynced_bytes
}

fn assert_below(limit: u64, measured: &[(&str, u64)]) {
    eprintln!("most unsynced bytes: {measured:?}");
    assert!(measured.iter().all(|(_, bytes)| (1..limit).contains(bytes)), "{measured:?}");
}

/// A received snapshot of some 20 MB.
fn install(storage: &Storage) {
    let members = Members::of([NodeId(1)], [], []);
    let header =
        SnapshotHeader { cluster: ClusterId(7), last: EntryId::new(1, 1), members, revision: Revision(1) };
    let records =
        (0..20_000).map(|number| Ok((format!("key/{number:08}").into(), Bytes::from(vec![7; 1000]))));
    let mut staged = storage.states.stage().unwrap();
    for piece in encode(&header, records) {
        staged.push(&piece.unwrap()).unwrap();
    }
    staged.finish().unwrap().activate().unwrap();
}

fn job(term: u64, indexes: std::ops::RangeInclusive<u64>, bytes: usize) -> Persist {
    let payload = Payload::Command(vec![7; bytes].into());
    let entries = indexes.map(|index| Entry { id: EntryId::new(term, index), payload: payload.clone() });
    let hard_state = Some(HardState { term: Term(term), vote: None });
    Persist { mark: Mark(1), hard_state, reset: None, entries: entries.collect() }
}

fn open(disk: &Disk) -> Storage {
    let options = Options {
        dir: disk.join("data"),
        cluster: ClusterId(7),
        founders: Default::default(),
        cluster_token: "test".into(),
        node: NodeId(1),
        name: "n1".into(),
        fsync: true,
        // Enough segments that none has to be made: that would be measured too.
        log: kontiki::storage::LogSettings {
            journal: kontiki::storage::journal::JournalSettings { segments_min: 24, ..Default::default() },
            backlog_bytes: 0,
            ..Default::default()
        },
        cache_bytes: 8 << 20,
        vacuum: VacuumSettings { times: 0, bytes: 0, ..Default::default() },
        open_timeout: Duration::from_secs(60),
    };
    storage::open(&options).unwrap()
}
