//! A table that breaks its promise.

use crate::kv::support::{Store, compact, everything, pairs};
use bytes::Bytes;
use kontiki::kv::ReadError;
use kontiki::machine::{Machine, Table};

/// So large that each record is a block, but for the last, which is open.
fn sample() -> Store {
    let mut store = Store::new();
    for key in ["a", "b", "c"] {
        store.put(key, &key.repeat(3000));
    }
    store.commit();
    store
}

/// The key of the block whose first record is of a revision.
fn block_of(revision: u64) -> Bytes {
    [&[2][..], &revision.to_be_bytes(), &[0; 8]].concat().into()
}

fn flip(table: &dyn Table, key: &[u8]) {
    let mut value = table.get(key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    table.set(key, &value).unwrap();
}

#[test]
fn a_damaged_block_is_named_and_not_skipped() {
    let store = sample();
    flip(&*store.table, &block_of(3));
    let names_it =
        "state table: the block of records from revision 3.0 on is damaged: its checksum does not match";
    assert_eq!(Machine::open(store.table.clone()).unwrap_err().to_string(), names_it);
    let view = store.machine.view();
    assert_eq!(store.machine.saver().save(), Ok(view.applied()));
    assert_eq!(view.range(&everything()).unwrap_err().to_string(), names_it);
    // A node whose reader met damage must not go on: it ends when its state is to be saved.
    assert_eq!(store.machine.saver().save().unwrap_err().to_string(), names_it);
    assert_eq!(view.hash(None).unwrap_err().to_string(), names_it);
    let last = view.export().unwrap().last().unwrap();
    assert_eq!(last.unwrap_err().to_string(), names_it);
}

#[test]
fn a_missing_block_is_damage() {
    let store = sample();
    store.table.remove(&block_of(2)).unwrap();
    let view = store.machine.view();
    assert!(
        matches!(view.range(&everything()), Err(ReadError::Table(error)) if error.0.contains("revision 2.0"))
    );
    assert!(matches!(view.hash(None), Err(ReadError::Table(error)) if error.0.contains("revision 2.0")));
}

#[test]
fn a_start_misses_what_is_gone() {
    let store = sample();
    let block = store.table.get(&block_of(2)).unwrap().unwrap();
    store.table.remove(&block_of(2)).unwrap();
    let error = Machine::open(store.table.clone()).unwrap_err();
    assert!(error.0.contains("lists 3 records, but there are 2"), "{error}");
    store.table.set(&block_of(2), &block).unwrap();
    assert!(Machine::open(store.table).is_ok());
}

#[test]
fn a_start_knows_what_was_collected() {
    let mut store = sample();
    store.put("a", "3");
    store.done(compact(5));
    store.commit();
    store.collect(10);
    assert_eq!(store.table.get(&block_of(2)).unwrap(), None);
    assert!(Machine::open(store.table).is_ok());
}

#[test]
fn a_damaged_or_lost_meta_record_is_no_fresh_start() {
    let store = sample();
    let meta = store.table.get(&[3]).unwrap().unwrap();
    store.table.remove(&[3]).unwrap();
    let error = Machine::open(store.table.clone()).unwrap_err();
    assert!(error.0.contains("there are records, but no meta record"), "{error}");
    store.table.set(&[3], &meta).unwrap();
    flip(&*store.table, &[3]);
    let error = Machine::open(store.table).unwrap_err();
    assert!(error.0.contains("the meta record is damaged"), "{error}");
}

#[test]
fn a_block_in_the_place_of_another_is_noticed() {
    let store = sample();
    let other = store.table.get(&block_of(2)).unwrap().unwrap();
    store.table.set(&block_of(3), &other).unwrap();
    assert!(Machine::open(store.table).unwrap_err().0.contains("revision 3.0"));
}

/// What no meta record vouches for is removed at a start, and the log restores it.
#[test]
fn what_is_above_the_meta_record_goes() {
    let mut store = sample();
    let before = pairs(&*store.table);
    let meta = store.table.get(&[3]).unwrap().unwrap();
    for key in ["d", "e"] {
        store.put(key, "more");
    }
    store.commit();
    store.table.set(&[3], &meta).unwrap();
    let mut store = Store::open(store.table);
    assert_eq!(pairs(&*store.table), before);
    store.put("d", "more");
    store.commit();
    assert_eq!(Store::open(store.table).machine.view().keys(), 4);
}
