//! Short ways to say what the tests say often.

use bytes::Bytes;
use kontiki::kv::{
    Command, Compact, Compare, Delete, KeyRange, KeyValue, Machine, MemoryTable, Op, Outcome, Put, Range,
    Refusal, Relation, Reply, Table, Target, Txn, View,
};
use kontiki::types::{EntryId, Revision};
use std::ops::Bound;
use std::sync::Arc;

pub fn bytes(text: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

pub fn put(key: &str, value: &str) -> Put {
    Put { key: bytes(key), value: bytes(value), return_previous: false }
}

pub fn delete(range: KeyRange) -> Delete {
    Delete { range, return_previous: false }
}

pub fn compact(revision: u64) -> Command {
    Command::Compact(Compact { revision: Revision(revision) })
}

/// A read of everything, at the newest revision.
pub fn everything() -> Range {
    read(KeyRange::all())
}

pub fn read(range: KeyRange) -> Range {
    Range {
        range,
        revision: None,
        limit: None,
        max_bytes: None,
        order: Default::default(),
        keys_only: false,
        with_count: false,
        count_only: false,
    }
}

pub fn at(revision: u64, range: Range) -> Range {
    Range { revision: Some(Revision(revision)), ..range }
}

pub fn when(key: &str, target: Target, relation: Relation) -> Compare {
    Compare { range: KeyRange::key(key), target, relation }
}

pub fn txn(compares: Vec<Compare>, success: Vec<Op>, failure: Vec<Op>) -> Txn {
    Txn { compares, success, failure }
}

/// `key=value` for each key.
pub fn show(kvs: &[KeyValue]) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    kvs.iter().map(|kv| format!("{}={}", text(&kv.key), text(&kv.value))).collect()
}

/// A machine in memory that numbers its entries.
pub struct Store {
    pub table: Arc<dyn Table>,
    pub machine: Machine,
}

impl Store {
    pub fn new() -> Self {
        Self::open(Arc::new(MemoryTable::new()))
    }

    pub fn open(table: Arc<dyn Table>) -> Self {
        Self { machine: Machine::open(Arc::clone(&table)).unwrap(), table }
    }

    pub fn next_id(&self) -> EntryId {
        EntryId::new(1, self.machine.applied().index.get() + 1)
    }

    pub fn apply(&mut self, command: &Command) -> Reply {
        self.machine.apply(self.next_id(), &command.encode()).unwrap()
    }

    /// Applies a command that is not refused.
    pub fn done(&mut self, command: Command) -> Outcome {
        match self.apply(&command).outcome {
            Outcome::Refused(refusal) => panic!("{command:?} was refused: {refusal}"),
            outcome => outcome,
        }
    }

    /// Applies a command that is refused.
    pub fn refused(&mut self, command: Command) -> Refusal {
        match self.apply(&command).outcome {
            Outcome::Refused(refusal) => refusal,
            outcome => panic!("{command:?} was done: {outcome:?}"),
        }
    }

    pub fn put(&mut self, key: &str, value: &str) {
        self.done(Command::Put(put(key, value)));
    }

    pub fn delete(&mut self, range: KeyRange) {
        self.done(Command::Delete(delete(range)));
    }

    pub fn commit(&mut self) -> View {
        self.machine.commit().unwrap()
    }

    /// Removes all garbage of the last committed compaction, in steps.
    pub fn collect(&mut self, budget: usize) {
        while self.machine.collect_garbage(budget).unwrap() {}
        self.commit();
    }
}

/// All records of a table.
pub fn records(table: &dyn Table) -> Vec<(Bytes, Bytes)> {
    table.scan(Bound::Unbounded, Bound::Unbounded).collect::<Result<_, _>>().unwrap()
}
