//! What one command does to the state.

use crate::kv::conflict;
use crate::kv::horizon::{Horizon, Values};
use crate::kv::index::{NEWEST, SharedIndex};
use crate::kv::meta::Meta;
use crate::kv::model::{
    Command, Compact, Delete, DeleteResult, KeyValue, Op, OpResult, Order, Outcome, Put, PutResult, Refusal,
    Txn,
};
use crate::kv::read::{self, Allowance, answer_bytes};
use crate::kv::read_error::ReadError;
use crate::kv::record::{self, Record};
use crate::kv::staged::Staged;
use crate::kv::table::Table;
use crate::kv::txn::Plan;
use crate::kv::version::{Position, Version};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The most keys that one command may change. Each entry goes to the table as one
/// batch, which everything else waits for; the same on all nodes, as they must
/// refuse alike. A transaction's puts are far fewer.
pub(crate) const CHANGES_MAX: usize = 16_384;

/// The most bytes of records in one command that removes keys, for the same reason. What a command
/// puts has been bounded with the request that brought it.
pub(crate) const CHANGED_BYTES_MAX: usize = 4 << 20;

/// One command being applied. If it is refused, nothing has changed.
pub(crate) struct Draft<'a> {
    index: &'a SharedIndex,
    meta: &'a mut Meta,
    staged: &'a mut Staged,
    table: &'a dyn Table,
    allowance: Allowance,
    /// The keys that were changed, in order: what is to be taken back if the command is refused in the end.
    changed: Vec<Bytes>,
    /// Where the next change goes: all changes of a command share a revision.
    next: Position,
}

/// The table with what is not in it yet.
struct Written<'a> {
    staged: &'a Staged,
    table: &'a dyn Table,
}

impl Values for Written<'_> {
    fn record(&self, at: Position) -> Result<Record, ReadError> {
        let bytes = match self.staged.get(at) {
            Some(bytes) => Some(bytes.clone()),
            None => self.table.get(&at.table_key())?,
        };
        // Nothing that the writer's own index names has ever been removed.
        let bytes = bytes.ok_or_else(|| record::damaged(at, "it is missing"))?;
        Ok(record::decode(at, &bytes)?)
    }
}

impl<'a> Draft<'a> {
    /// Begins a command that may answer `reply_bytes`.
    pub(crate) fn new(
        index: &'a SharedIndex,
        meta: &'a mut Meta,
        staged: &'a mut Staged,
        table: &'a dyn Table,
        reply_bytes: u64,
    ) -> Self {
        let next = Position::first_of(meta.revision.next());
        let (allowance, changed) = (Allowance::new(reply_bytes), Vec::new());
        Self { index, meta, staged, table, allowance, changed, next }
    }

    /// Does it.
    pub(crate) fn execute(mut self, command: &Command) -> Result<Outcome, ReadError> {
        let outcome = match command {
            Command::Put(put) => Outcome::Put(self.put(put)?),
            Command::Delete(delete) => Outcome::Delete(self.delete(delete)?),
            Command::Txn(txn) => self.txn(txn)?,
            Command::Compact(compact) => self.compact(compact)?,
        };
        if self.next.sub > 0 {
            self.meta.revision = self.next.revision;
        }
        Ok(outcome)
    }

    fn put(&mut self, put: &Put) -> Result<PutResult, ReadError> {
        let replaced = self.index.read().newest(&put.key);
        let previous = match replaced {
            Some(version) if put.return_previous => Some(self.previous(&put.key, &version)?),
            _ => None,
        };
        let version = Version {
            revision: self.next.revision,
            sub: self.next.sub,
            value_bytes: u32::try_from(put.value.len()).expect("a command is far smaller than 4 GiB"),
            create_revision: replaced.map_or(self.next.revision, |replaced| replaced.create_revision),
            version: replaced.map_or(1, |replaced| replaced.version + 1),
        };
        self.write(&put.key, &put.value, version);
        Ok(PutResult { previous })
    }

    fn delete(&mut self, delete: &Delete) -> Result<DeleteResult, ReadError> {
        let room = CHANGES_MAX.saturating_sub(self.next.sub as usize);
        let mut doomed: Vec<(Bytes, Version)> = Vec::new();
        self.index.walk(&delete.range, NEWEST, Order::Ascending, &mut |key, version| {
            doomed.push((Bytes::copy_from_slice(key), version));
            if doomed.len() > room { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if doomed.len() > room {
            return Err(Refusal::TooManyChanges { limit: CHANGES_MAX as u64 }.into());
        }
        let bytes = self.staged.entry_bytes() + doomed.iter().map(|(key, _)| key.len()).sum::<usize>();
        if bytes > CHANGED_BYTES_MAX {
            return Err(Refusal::ChangesTooLarge { limit: CHANGED_BYTES_MAX as u64 }.into());
        }
        let mut previous = Vec::new();
        if delete.return_previous {
            for (key, version) in &doomed {
                previous.push(self.previous(key, version)?);
            }
        }
        for (key, _) in &doomed {
            self.write(key, &[], Version::tombstone(self.next));
        }
        Ok(DeleteResult { deleted: doomed.len() as u64, previous })
    }

    fn txn(&mut self, txn: &Txn) -> Result<Outcome, ReadError> {
        conflict::check(txn)?;
        let plan = Plan::new(self.horizon(), &self.written(), txn)?;
        // Whether the answer fits shows while it is made; then all is taken back.
        let result = plan.run(&mut |op| self.op(op));
        if result.is_err() {
            let mut index = self.index.write();
            self.changed.iter().rev().for_each(|key| index.pop(key));
            self.staged.undo_entry();
        }
        result.map(Outcome::Txn)
    }

    fn op(&mut self, op: &Op) -> Result<OpResult, ReadError> {
        match op {
            Op::Put(put) => self.put(put).map(OpResult::Put),
            Op::Delete(delete) => self.delete(delete).map(OpResult::Delete),
            Op::Range(range) => {
                let values = Written { staged: self.staged, table: self.table };
                let (index, meta) = (self.index, &*self.meta);
                let horizon = Horizon { index, meta, newest: NEWEST };
                read::range(horizon, &values, range, &mut self.allowance).map(OpResult::Range)
            }
            Op::Txn(_) => unreachable!("a plan resolves nested transactions"),
        }
    }

    fn compact(&mut self, compact: &Compact) -> Result<Outcome, ReadError> {
        let (requested, oldest) = (compact.revision, self.meta.compact_revision);
        if requested <= oldest {
            return Err(Refusal::Compacted { requested, oldest }.into());
        }
        self.horizon().readable(Some(requested))?;
        self.meta.compact_revision = requested;
        Ok(Outcome::Compact)
    }

    fn previous(&mut self, key: &Bytes, version: &Version) -> Result<KeyValue, ReadError> {
        self.allowance.take(answer_bytes(key, version, false))?;
        read::fetch(&self.written(), key.clone(), version)
    }

    fn write(&mut self, key: &Bytes, value: &[u8], version: Version) {
        self.staged.push(self.next, record::encode(key, value, &version));
        self.index.write().push(key, version);
        self.changed.push(key.clone());
        self.next.sub += 1;
    }

    fn horizon(&self) -> Horizon<'_> {
        Horizon { index: self.index, meta: self.meta, newest: NEWEST }
    }

    fn written(&self) -> Written<'_> {
        Written { staged: self.staged, table: self.table }
    }
}
