//! A crash leaves a prefix of what was written to the table, and every prefix is a valid state.

use crate::kv::generate::{Step, steps};
use crate::kv::model::perform;
use crate::kv::support::{Store, at, compact, everything};
use bytes::Bytes;
use kontiki::kv::{KeyRange, TableError};
use kontiki::machine::{MemoryTable, Scan, Table, View};
use proptest::prelude::*;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

type Operation = (Bytes, Option<Bytes>);

/// Remembers every operation.
#[derive(Default)]
struct Recorder {
    table: MemoryTable,
    operations: Mutex<Vec<Operation>>,
}

impl Table for Recorder {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.table.get(key)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_> {
        self.table.scan(start, end)
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        let operation = (Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
        self.operations.lock().unwrap().push(operation);
        self.table.set(key, value)
    }

    fn remove(&self, key: &[u8]) -> Result<(), TableError> {
        self.operations.lock().unwrap().push((Bytes::copy_from_slice(key), None));
        self.table.remove(key)
    }

    fn sync(&self) -> Result<(), TableError> {
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, TableError> {
        self.table.size_on_disk()
    }
}

fn reads(view: &View) -> Vec<Result<kontiki::kv::RangeResult, kontiki::kv::ReadError>> {
    (0..=view.revision().get() + 1).map(|revision| view.range(&at(revision, everything()))).collect()
}

/// Does the steps, starting over where they say so, and then tries what a crash after every single operation leaves:
/// it opens, it is the state after some entry, and the rest of the log leads to the same end.
fn check_every_prefix(steps: &[Step]) {
    let recorder = Arc::new(Recorder::default());
    let mut store = Store::open(recorder.clone());
    let (mut log, mut hashes) = (Vec::new(), vec![store.machine.view().state_hash()]);
    for step in steps {
        match step {
            Step::Apply(_) | Step::Noop | Step::Members(_) => {
                perform(&mut store, step);
                log.push(step);
                hashes.push(store.machine.commit().unwrap().state_hash());
            }
            Step::Save => drop(store.commit()),
            Step::Collect(budget) => {
                store.collect_some(*budget);
                store.machine.commit().unwrap();
            }
            Step::Crash => {
                store.commit();
                store = Store::open(recorder.clone());
            }
            Step::Commit | Step::Read(_) => {}
        }
    }
    let end = store.commit();
    let operations = recorder.operations.lock().unwrap().clone();
    for crash in 0..=operations.len() {
        let table = MemoryTable::new();
        for (key, value) in &operations[..crash] {
            match value {
                Some(value) => table.set(key, value).unwrap(),
                None => table.remove(key).unwrap(),
            }
        }
        let mut found = Store::open(Arc::new(table));
        let applied = found.machine.applied().index.get() as usize;
        assert_eq!(found.machine.view().state_hash(), hashes[applied], "after {crash} operations");
        for step in &log[applied..] {
            perform(&mut found, step);
        }
        let view = found.machine.commit().unwrap();
        assert_eq!(view.state_hash(), end.state_hash());
        assert_eq!(reads(&view), reads(&end));
        assert_eq!(view.hash(None), end.hash(None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_prefix_of_the_operations_is_a_true_state(steps in steps()) {
        check_every_prefix(&steps);
    }
}

/// Many small blocks that are cleaned step by step: whole blocks, parts of blocks, and blocks that are joined.
#[test]
fn every_prefix_of_a_long_clean_up_is_a_true_state() {
    use crate::kv::support::{delete, put};
    use kontiki::machine::Command;
    let mut steps = Vec::new();
    let value = |n: u64| "v".repeat(200 + 37 * (n as usize % 30));
    for n in 0..200_u64 {
        steps.push(Step::Apply(Command::Put(put(&format!("k{}", (n * n) % 23), &value(n)))));
        match n % 20 {
            7 => steps.push(Step::Apply(Command::Delete(delete(KeyRange::key(format!("k{}", n % 23)))))),
            12 => steps.push(Step::Save),
            19 => steps.push(Step::Apply(compact(n.saturating_sub(10).max(1)))),
            _ => steps.push(Step::Collect(2)),
        }
    }
    steps.extend([Step::Crash, Step::Apply(compact(205))]);
    steps.extend(std::iter::repeat_n(Step::Collect(3), 200));
    check_every_prefix(&steps);
}
