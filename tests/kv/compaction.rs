//! Compaction and garbage collection.

use crate::kv::support::{Store, at, compact, everything, read, records, show};
use kontiki::api::paging::{Cursor, ScanRead};
use kontiki::api::read_level::ReadLevel;
use kontiki::kv::{KeyRange, ReadError, Refusal};
use kontiki::settings::Limits;
use kontiki::types::Revision;
use std::sync::Arc;

/// `a` and `b` put twice, `gone` put and deleted: revision 7.
fn sample() -> Store {
    let mut store = Store::new();
    for (key, value) in [("a", "1"), ("b", "1"), ("gone", "1"), ("a", "2"), ("b", "2")] {
        store.put(key, value);
    }
    store.delete(KeyRange::key("gone"));
    store.commit();
    // A start closes the block that was open: only closed ones are cleaned.
    Store::open(store.table)
}

#[test]
fn a_compaction_keeps_its_own_revision_readable() {
    let mut store = sample();
    store.done(compact(5));
    store.commit();
    store.collect(1);
    let view = store.machine.view();
    let oldest = Refusal::Compacted { requested: Revision(4), oldest: Revision(5) };
    assert_eq!(view.range(&at(4, everything())), Err(ReadError::Refused(oldest)));
    assert_eq!(show(&view.range(&at(5, everything())).unwrap().kvs), ["a=2", "b=1", "gone=1"]);
    assert_eq!(show(&view.range(&everything()).unwrap().kvs), ["a=2", "b=2"]);
    assert_eq!(view.revision(), Revision(7), "a compaction does not make a revision");
}

#[test]
fn a_compaction_goes_forward_and_not_into_the_future() {
    let mut store = sample();
    store.done(compact(5));
    let again = Refusal::Compacted { requested: Revision(5), oldest: Revision(5) };
    assert_eq!(store.refused(compact(5)), again);
    let future = Refusal::FutureRevision { requested: Revision(8), current: Revision(7) };
    assert_eq!(store.refused(compact(8)), future);
}

#[test]
fn garbage_leaves_the_table() {
    for budget in [1, 2, 3, 100] {
        let mut store = sample();
        store.done(compact(7));
        store.commit();
        assert_eq!(records(&*store.table).len(), 6);
        store.collect(budget);
        assert_eq!(records(&*store.table).len(), 2, "a and b");
    }
}

#[test]
fn a_restart_finds_the_garbage_that_was_left() {
    let mut store = sample();
    store.done(compact(7));
    store.commit();
    assert!(store.collect_some(1));
    store.commit();
    let mut store = Store::open(store.table);
    store.collect(1);
    assert_eq!(records(&*store.table).len(), 2);
}

/// A block of which most is garbage is cleaned before an older one of which little is. The tombstone in it must stay as
/// long as there is an older put of its key, or a restart would take that for the newest.
#[test]
fn a_tombstone_outlives_all_older_puts_of_its_key() {
    let (mut store, value) = (Store::new(), "v".repeat(190));
    let fill = |store: &mut Store, keys: std::ops::Range<u32>| {
        keys.for_each(|number| store.put(&format!("live/{number}"), &value));
    };
    store.put("gone", &value);
    fill(&mut store, 0..100);
    (0..20).for_each(|_| store.put("hot", &value));
    store.delete(KeyRange::key("gone"));
    (0..20).for_each(|_| store.put("hot", &value));
    fill(&mut store, 100..200);
    let newest = store.commit().revision().get();
    store.done(compact(newest));
    store.commit();
    let before = records(&*store.table).len();
    loop {
        let more = store.collect_some(1);
        let found = Store::open(Arc::clone(&store.table)).machine.view();
        assert_eq!(found.range(&read(KeyRange::key("gone"))).unwrap().kvs, []);
        assert_eq!(found.keys(), 201);
        if !more {
            break;
        }
        store.commit();
    }
    let after = records(&*store.table);
    assert!(
        after.len() < before - 20 && after.contains(&(2, 0)),
        "the put of \"gone\" is there still: {after:?}"
    );
}

/// A crash takes an uncommitted compaction back; removed records would not come back.
#[test]
fn nothing_is_removed_for_a_compaction_that_may_be_lost() {
    let mut store = sample();
    store.commit();
    store.done(compact(7));
    store.collect_some(100);
    let store = Store::open(store.table);
    assert_eq!(
        show(&store.machine.view().range(&at(4, everything())).unwrap().kvs),
        ["a=1", "b=1", "gone=1"]
    );
}

/// The newest view that readers have must not lose what it shows before they
/// could take the next one.
#[test]
fn garbage_waits_until_readers_know_the_compaction() {
    let mut store = sample();
    let newest = store.commit();
    store.put("a", "3");
    store.done(compact(8));
    store.collect_some(100);
    store.commit();
    assert_eq!(show(&newest.range(&everything()).unwrap().kvs), ["a=2", "b=2"]);
}

/// A view keeps its own revision readable, and no more.
#[test]
fn an_old_view_says_that_its_past_was_compacted() {
    let mut store = sample();
    let old = store.commit();
    store.put("a", "3");
    store.done(compact(8));
    store.commit();
    for _ in 0..10 {
        assert!(store.collect_some(100), "there is more than the old view lets go");
        store.commit();
    }
    let oldest = Refusal::Compacted { requested: Revision(4), oldest: Revision(7) };
    assert_eq!(old.range(&at(4, everything())), Err(ReadError::Refused(oldest)));
    assert_eq!(show(&old.range(&everything()).unwrap().kvs), ["a=2", "b=2"]);
    assert!(matches!(old.export(), Err(ReadError::Refused(Refusal::Compacted { .. }))));
    assert!(matches!(old.hash(None), Err(ReadError::Refused(Refusal::Compacted { .. }))));
    drop(old);
    store.collect(100);
    assert_eq!(records(&*store.table).len(), 2, "a and b");
}

/// A read of the past in several parts pins its revision, so that no compaction interferes.
#[test]
fn a_revision_that_is_being_read_stays() {
    let mut store = sample();
    let reader = store.commit().at(Revision(4)).unwrap();
    store.done(compact(7));
    store.commit();
    assert!(store.collect_some(100));
    store.commit();
    assert_eq!(show(&reader.range(&at(4, everything())).unwrap().kvs), ["a=1", "b=1", "gone=1"]);
    assert!(matches!(reader.at(Revision(3)), Err(Refusal::Compacted { .. })));
    drop(reader);
    store.collect(100);
    let oldest = Refusal::Compacted { requested: Revision(4), oldest: Revision(7) };
    assert_eq!(store.machine.view().at(Revision(4)).unwrap_err(), oldest);
    assert_eq!(records(&*store.table).len(), 2);
}

/// A scan is such a read: a compaction may come between two of its chunks.
#[test]
fn a_scan_of_an_earlier_revision_ends_as_it_began() {
    let mut store = sample();
    let scan = ScanRead { read: at(4, everything()), level: ReadLevel::Local };
    let one_at_a_time = Limits { page_keys: 1, ..Limits::default() };
    let mut cursor = Cursor::new(scan, &store.commit(), &one_at_a_time).unwrap();
    let mut chunk = || cursor.next_chunk(&kontiki::kv::Patient).map(|(kvs, last)| (show(&kvs), last));
    assert_eq!(chunk(), Ok((vec!["a=1".to_owned()], false)));
    store.done(compact(7));
    store.commit();
    assert!(store.collect_some(100), "there is more than the scan lets go");
    assert_eq!(chunk(), Ok((vec!["b=1".to_owned()], false)));
    assert_eq!(chunk(), Ok((vec!["gone=1".to_owned()], true)));
}

#[test]
fn a_hash_does_not_see_how_much_garbage_is_gone() {
    let (mut lazy, mut eager) = (sample(), sample());
    for store in [&mut lazy, &mut eager] {
        store.done(compact(6));
        store.commit();
    }
    eager.collect(100);
    let (lazy, eager) = (lazy.commit(), eager.commit());
    assert_eq!(lazy.state_hash(), eager.state_hash());
    for revision in [6, 7] {
        assert_eq!(lazy.hash(Some(Revision(revision))), eager.hash(Some(Revision(revision))));
    }
    let older = Refusal::Compacted { requested: Revision(5), oldest: Revision(6) };
    assert_eq!(lazy.hash(Some(Revision(5))), Err(ReadError::Refused(older)));
}
