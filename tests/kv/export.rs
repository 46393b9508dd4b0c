//! Exporting a state to another node.

use crate::kv::generate::{Step, steps};
use crate::kv::model::perform;
use crate::kv::support::{Store, at, compact, everything, records};
use bytes::Bytes;
use kontiki::machine::{Export, Machine, MemoryTable, Table, View};
use proptest::prelude::*;
use std::sync::Arc;

fn import(export: impl Iterator<Item = (Bytes, Bytes)>) -> Store {
    let table = MemoryTable::new();
    export.for_each(|(key, value)| table.set(&key, &value).unwrap());
    Store::open(Arc::new(table))
}

fn assert_equal(left: &View, right: &View) {
    assert_eq!(left.applied(), right.applied());
    assert_eq!(left.members(), right.members());
    assert_eq!(left.keys(), right.keys());
    assert_eq!(left.state_hash(), right.state_hash());
    assert_eq!(left.hash(None), right.hash(None));
    for revision in 0..=left.revision().get() + 1 {
        let query = at(revision, everything());
        assert_eq!(left.range(&query), right.range(&query), "at revision {revision}");
    }
}

/// Takes every `pace`th record between two steps, so that the export goes on
/// while everything else does.
fn take_some(export: &mut Export, taken: &mut Vec<(Bytes, Bytes)>, pace: usize) {
    taken.extend(export.by_ref().take(pace).map(Result::unwrap));
}

proptest! {
    /// The export shows the state at which it began, and a node that starts
    /// from there goes the same way as the others.
    #[test]
    fn an_export_is_the_state_at_one_index(before in steps(), after in steps(), pace in 0..3usize) {
        let mut store = Store::new();
        for step in &before {
            perform(&mut store, step);
        }
        let view = store.commit();
        let (mut export, mut taken) = (view.export().unwrap(), vec![]);
        for step in &after {
            perform(&mut store, step);
            match step {
                Step::Commit => drop(store.commit()),
                Step::Collect(budget) => drop(store.collect_some(*budget)),
                _ => {}
            }
            take_some(&mut export, &mut taken, pace);
        }
        taken.extend(export.map(Result::unwrap));

        let mut copy = import(taken.into_iter());
        assert_equal(&copy.machine.view(), &view);
        for step in &after {
            perform(&mut copy, step);
        }
        assert_equal(&copy.commit(), &store.commit());
    }
}

/// An old view may be exported as long as nothing it needs is gone, and from then on nothing is removed until
/// the export ends.
#[test]
fn nothing_is_removed_while_an_export_lives() {
    let mut store = Store::new();
    for n in 0..1000 {
        store.put(&format!("k{}", n % 10), &n.to_string());
    }
    store.commit();
    let mut store = Store::open(store.table);
    let view = store.machine.view();
    let export = view.export().unwrap();
    store.done(compact(1001));
    store.commit();
    for _ in 0..10 {
        assert!(store.collect_some(1000), "there is garbage, but not now");
        store.commit();
    }
    assert_eq!(import(export.map(Result::unwrap)).machine.view().hash(None).unwrap().records, 1000);
    store.collect(1000);
    assert_eq!(records(&*store.table).len(), 10);
}

/// What nobody can read is not sent.
#[test]
fn garbage_is_not_exported() {
    let mut store = Store::new();
    store.put("k", "1");
    store.put("k", "2");
    store.put("gone", "1");
    store.delete(kontiki::kv::KeyRange::key("gone"));
    store.done(compact(5));
    let view = store.commit();
    assert_eq!(records(&*store.table).len(), 4);
    assert_eq!(records(&*import(view.export().unwrap().map(Result::unwrap)).table), [(3, 0)]);
}

/// More than a page of records, read by other threads while the writer goes on.
#[test]
fn readers_work_beside_the_writer() {
    let mut store = Store::new();
    for n in 0..1000 {
        store.put(&format!("k{n:04}"), &n.to_string());
    }
    let view = store.commit();
    let expected = (view.range(&everything()), view.hash(None));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_eq!((view.range(&everything()), view.hash(None)), expected);
                    let copy = import(view.export().unwrap().map(Result::unwrap));
                    assert_eq!(copy.machine.view().hash(None), expected.1);
                }
            });
        }
        for n in 0..1000 {
            store.put(&format!("k{:04}", (n * 7) % 1000), "new");
            store.commit();
        }
    });
}

#[test]
fn an_empty_store_can_be_exported() {
    let copy = import(Store::new().machine.view().export().unwrap().map(Result::unwrap));
    assert_equal(&copy.machine.view(), &Machine::open(Arc::new(MemoryTable::new())).unwrap().view());
}
