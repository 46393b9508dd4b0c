//! The state table against a sorted map.

use crate::storage::{names, open};
use bytes::Bytes;
use kontiki::machine::Table;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

type Map = BTreeMap<Bytes, Bytes>;

pub fn all(table: &dyn Table) -> Vec<(Bytes, Bytes)> {
    table.scan(Bound::Unbounded, Bound::Unbounded).collect::<Result<_, _>>().unwrap()
}

fn bound(kind: u8, key: &[u8]) -> Bound<&[u8]> {
    match kind {
        0 => Bound::Unbounded,
        1 => Bound::Included(key),
        _ => Bound::Excluded(key),
    }
}

#[test]
fn large_values_come_back_and_make_no_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let table = storage.states.table();
    let mut expected = Map::new();
    for round in 0..3_u8 {
        for n in 0..20_u8 {
            let value = Bytes::from(vec![round ^ n; (1536 << 10) - usize::from(round) * 400_000]);
            table.set(&[b'k', n], &value).unwrap();
            expected.insert(vec![b'k', n].into(), value);
        }
    }
    for n in (0..20_u8).step_by(3) {
        table.remove(&[b'k', n]).unwrap();
        expected.remove(&[b'k', n][..]);
    }
    table.sync().unwrap();
    assert!(all(&*table) == expected.clone().into_iter().collect::<Vec<_>>());
    drop((table, storage));
    assert_eq!(names(&dir.path().join("state-000001/blobs")), Vec::<String>::new());
    let storage = open(dir.path());
    let table = storage.states.table();
    assert!(all(&*table) == expected.into_iter().collect::<Vec<_>>());
    assert_eq!(table.get(b"k\x00").unwrap(), None);
}

#[test]
fn a_reader_sees_a_large_value_whole_while_it_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let table = storage.states.table();
    table.set(b"k", &vec![0; 400 << 10]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..40_u8 {
                table.set(b"k", &vec![n; (300 << 10) + usize::from(n) * 4000]).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let value = table.get(b"k").unwrap().unwrap();
            assert!(value.iter().all(|byte| *byte == value[0]));
            assert_eq!(all(&*table).len(), 1);
        }
    });
}

#[test]
fn a_key_that_would_outgrow_a_page_is_refused_and_the_table_stops() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(dir.path()).states.table();
    let error = table.set(&[1; 20_000], b"v").unwrap_err();
    assert!(error.to_string().contains("a key has 20000 bytes"), "{error}");
    assert_eq!(table.set(b"k", b"v"), Err(error.clone()), "an error is final");
    assert_eq!(table.sync(), Err(error));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Keys from a small alphabet, so that they meet, and are prefixes of each other.
    #[test]
    fn it_is_a_sorted_map(
        batches in vec(vec((vec(0..3_u8, 0..5), proptest::option::of(prop_oneof![9 => 0..100_usize, 1 => 130_000..300_000_usize])), 0..20), 1..12),
        ranges in vec(((0..3_u8, vec(0..3_u8, 0..4)), (0..3_u8, vec(0..3_u8, 0..4))), 20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut map = Map::new();
        let storage = open(dir.path());
        for (number, changes) in (0_u8..).zip(batches) {
            for (key, length) in changes {
                match length.map(|length| Bytes::from(vec![number; length])) {
                    Some(value) => {
                        storage.states.table().set(&key, &value).unwrap();
                        map.insert(key.into(), value);
                    }
                    None => {
                        storage.states.table().remove(&key).unwrap();
                        map.remove(&key[..]);
                    }
                }
            }
        }
        let check = |table: &dyn Table| {
            for ((start_kind, start), (end_kind, end)) in &ranges {
                let (start, end) = (bound(*start_kind, start), bound(*end_kind, end));
                let found: Vec<_> = table.scan(start, end).collect::<Result<_, _>>().unwrap();
                let inside = map.iter().filter(|(key, _)| {
                    let key: &[u8] = key;
                    (match start { Bound::Included(s) => key >= s, Bound::Excluded(s) => key > s, Bound::Unbounded => true })
                        && (match end { Bound::Included(e) => key <= e, Bound::Excluded(e) => key < e, Bound::Unbounded => true })
                });
                assert!(found == inside.map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>());
            }
            assert!(map.iter().all(|(key, value)| table.get(key).unwrap().as_ref() == Some(value)));
            assert!(all(table).len() == map.len());
        };
        check(&*storage.states.table());
        drop(storage);
        check(&*open(dir.path()).states.table());
    }
}
