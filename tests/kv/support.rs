//! Shorthands for the tests.

use bytes::Bytes;
use kontiki::kv::{
    CommandLimits, Compact, Compare, Delete, KeyRange, KeyValue, Op, Put, Range, Refusal, Relation, Target,
    Txn,
};
use kontiki::machine::{Budget, Command, CommandResult, Machine, MemoryTable, Reply, Table, View};
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

    /// An empty store whose commands may do so much work.
    pub fn with_work_limit(work: u64) -> Self {
        let mut store = Self::new();
        store.machine.found(Bytes::new(), CommandLimits { work, ..CommandLimits::FOUNDING });
        store
    }

    pub fn next_id(&self) -> EntryId {
        EntryId::new(1, self.machine.applied().index.get() + 1)
    }

    pub fn apply(&mut self, command: &Command) -> Reply {
        self.machine.apply(self.next_id(), &command.encode()).unwrap()
    }

    /// Applies a command that is not refused.
    pub fn done(&mut self, command: Command) -> CommandResult {
        match self.apply(&command).result {
            CommandResult::Refused(refusal) => panic!("{command:?} was refused: {refusal}"),
            outcome => outcome,
        }
    }

    /// Applies a command that is refused.
    pub fn refused(&mut self, command: Command) -> Refusal {
        match self.apply(&command).result {
            CommandResult::Refused(refusal) => refusal,
            outcome => panic!("{command:?} was done: {outcome:?}"),
        }
    }

    pub fn put(&mut self, key: &str, value: &str) {
        self.done(Command::Put(put(key, value)));
    }

    pub fn delete(&mut self, range: KeyRange) {
        self.done(Command::Delete(delete(range)));
    }

    /// Shows what was applied, and saves it.
    pub fn commit(&mut self) -> View {
        let view = self.machine.commit().unwrap();
        self.machine.saver().save().unwrap();
        view
    }

    /// Removes all garbage of the last committed compaction, in steps.
    pub fn collect(&mut self, budget: usize) {
        while self.collect_some(budget) {
            self.machine.commit().unwrap();
        }
        self.commit();
    }

    /// One step of that. Answers whether there may be more.
    pub fn collect_some(&mut self, budget: usize) -> bool {
        self.machine.collect_garbage(Budget { keys: budget, blocks: budget }).unwrap()
    }
}

/// All keys and values of a table.
pub fn pairs(table: &dyn Table) -> Vec<(Bytes, Bytes)> {
    table.scan(Bound::Unbounded, Bound::Unbounded).collect::<Result<_, _>>().unwrap()
}

/// The places of all versions of keys in a table's blocks, decoded as the module documents them.
pub fn records(table: &dyn Table) -> Vec<(u64, u64)> {
    let blocks = pairs(table).into_iter().filter(|(key, _)| key[0] == 2);
    let mut records = Vec::new();
    for (key, block) in blocks {
        let mut revision = u64::from_be_bytes(key[1..9].try_into().unwrap());
        let mut rest = &block[1..block.len() - 4];
        while !rest.is_empty() {
            let is_version = rest[0] == 1;
            rest = &rest[1..];
            revision += varint(&mut rest);
            let at = (revision, varint(&mut rest));
            records.extend(is_version.then_some(at));
            let length = varint(&mut rest) as usize;
            rest = &rest[length..];
        }
    }
    records
}

fn varint(from: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = from[0];
        *from = &from[1..];
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return number;
        }
    }
}
