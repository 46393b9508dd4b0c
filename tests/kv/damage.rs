//! A table that does not keep its word.

use crate::kv::support::{Store, compact, everything};
use bytes::Bytes;
use kontiki::kv::{Batch, Machine, ReadError, Table};
use kontiki::types::Revision;

/// `a` at revision 2 and `b` at revision 3.
fn sample() -> Store {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("b", "2");
    store.commit();
    store
}

/// The table's key of the first record of a revision.
fn record_of(revision: u64) -> Bytes {
    [&[2][..], &revision.to_be_bytes(), &[0; 4]].concat().into()
}

fn set(table: &dyn Table, key: Bytes, value: Option<Bytes>) {
    table.write(Batch { changes: vec![(key, value)] }).unwrap();
}

fn flip(table: &dyn Table, key: Bytes) {
    let mut value = table.get(&key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    set(table, key, Some(value.into()));
}

#[test]
fn a_damaged_record_is_named_and_not_skipped() {
    let store = sample();
    flip(&*store.table, record_of(3));
    let names_it = "state table: the record of revision 3.0 is damaged: its checksum does not match";
    assert_eq!(Machine::open(store.table.clone()).unwrap_err().to_string(), names_it);
    let view = store.machine.view();
    assert_eq!(view.range(&everything()).unwrap_err().to_string(), names_it);
    assert_eq!(view.hash(None).unwrap_err().to_string(), names_it);
    let last = view.export().unwrap().last().unwrap();
    assert_eq!(last.unwrap_err().to_string(), names_it);
}

#[test]
fn a_missing_record_is_damage() {
    let store = sample();
    set(&*store.table, record_of(2), None);
    let view = store.machine.view();
    assert!(
        matches!(view.range(&everything()), Err(ReadError::Table(error)) if error.0.contains("revision 2.0"))
    );
    assert!(matches!(view.hash(None), Err(ReadError::Table(error)) if error.0.contains("1 records")));
    assert!(view.hash(Some(Revision(1))).is_ok());
}

#[test]
fn a_start_misses_what_is_gone() {
    let store = sample();
    let record = store.table.get(&record_of(2)).unwrap();
    set(&*store.table, record_of(2), None);
    let error = Machine::open(store.table.clone()).unwrap_err();
    assert!(error.0.contains("speaks of 2 records, 1 are there"), "{error}");
    set(&*store.table, record_of(2), record);
    assert!(Machine::open(store.table).is_ok());
}

#[test]
fn a_start_knows_what_was_collected() {
    let mut store = sample();
    store.put("a", "3");
    store.done(compact(4));
    store.commit();
    while store.machine.collect_garbage(10).unwrap() {
        store.commit();
    }
    store.commit();
    assert_eq!(store.table.get(&record_of(2)).unwrap(), None);
    assert!(Machine::open(store.table).is_ok());
}

#[test]
fn a_damaged_or_lost_meta_record_is_no_fresh_start() {
    let store = sample();
    let meta = store.table.get(&[1]).unwrap();
    set(&*store.table, Bytes::from_static(&[1]), None);
    let error = Machine::open(store.table.clone()).unwrap_err();
    assert!(error.0.contains("the meta record knows only revisions up to 1"), "{error}");
    set(&*store.table, Bytes::from_static(&[1]), meta);
    flip(&*store.table, Bytes::from_static(&[1]));
    let error = Machine::open(store.table).unwrap_err();
    assert!(error.0.contains("the meta record is damaged"), "{error}");
}

#[test]
fn a_record_in_the_place_of_another_is_noticed() {
    let store = sample();
    let other = store.table.get(&record_of(2)).unwrap();
    set(&*store.table, record_of(3), other);
    assert!(Machine::open(store.table).unwrap_err().0.contains("revision 3.0"));
}
