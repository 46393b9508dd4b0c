//! Applying one command to the state.

use crate::kv::horizon::{Horizon, Values};
use crate::kv::index::{NEWEST, SharedIndex};
use crate::kv::limits::CommandLimits;
use crate::kv::model::{
    Compact, Delete, DeleteResult, KeyValue, Op, OpResult, Order, Put, PutResult, Refusal, Txn, TxnResult,
};
use crate::kv::read::{self, Allowance, answer_bytes};
use crate::kv::read_error::ReadError;
use crate::kv::record;
use crate::kv::revisions::Revisions;
use crate::kv::txn::Plan;
use crate::kv::version::{Position, Version};
use crate::kv::work::{self, Meter};
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;

/// One command being applied. If it is refused, nothing has changed.
pub(crate) struct Draft<'a, C> {
    index: &'a SharedIndex,
    revisions: &'a mut Revisions,
    changes: &'a mut C,
    limits: &'a CommandLimits,
    allowance: Allowance,
    meter: Meter<'a>,
    /// The changed keys, in order, to be undone if the command is refused in the end.
    changed: Vec<Bytes>,
    /// Where the next change goes: all changes of a command share a revision.
    next: Position,
}

/// Takes the changes of a command.
pub(crate) trait Changes: Values {
    /// Adds a record. The caller undoes the records of a command that is refused.
    fn push(&mut self, at: Position, record: Bytes);

    /// The size of this command's records in bytes.
    fn bytes(&self) -> usize;
}

impl<'a, C: Changes> Draft<'a, C> {
    pub(crate) fn new(
        index: &'a SharedIndex,
        revisions: &'a mut Revisions,
        changes: &'a mut C,
        limits: &'a CommandLimits,
        total_work: &'a AtomicU64,
    ) -> Self {
        let next = Position::first_of(revisions.current.next());
        let (allowance, changed) = (Allowance::new(limits.reply_bytes), Vec::new());
        let meter = Meter::of_command(limits.work, total_work);
        Self { index, revisions, changes, limits, allowance, meter, changed, next }
    }

    pub(crate) fn finish(self) {
        if self.next.sub > 0 {
            self.revisions.current = self.next.revision;
        }
    }

    pub(crate) fn put(&mut self, put: &Put) -> Result<PutResult, ReadError> {
        self.meter.spend(work::put(put.value.len()))?;
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

    pub(crate) fn delete(&mut self, delete: &Delete) -> Result<DeleteResult, ReadError> {
        let room = self.limits.changes.saturating_sub(u64::from(self.next.sub));
        let mut doomed: Vec<(Bytes, Version)> = Vec::new();
        self.index.walk(&delete.range, NEWEST, Order::Ascending, &mut self.meter, &mut |key, version| {
            doomed.push((Bytes::copy_from_slice(key), version));
            if doomed.len() as u64 > room { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if doomed.len() as u64 > room {
            return Err(Refusal::TooManyChanges { limit: self.limits.changes }.into());
        }
        let bytes = self.changes.bytes() + doomed.iter().map(|(key, _)| key.len()).sum::<usize>();
        if bytes as u64 > self.limits.changed_bytes {
            return Err(Refusal::ChangesTooLarge { limit: self.limits.changed_bytes }.into());
        }
        self.meter.spend(doomed.len() as u64 * work::REMOVAL)?;
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

    pub(crate) fn txn(&mut self, txn: &Txn) -> Result<TxnResult, ReadError> {
        txn.check_command(self.limits.work)?;
        self.meter.spend(txn.size() * work::OP)?;
        let plan = Plan::new(self.horizon(), &*self.changes, txn, &mut self.meter)?;
        // Whether the answer fits shows only while it is made; if not, everything is undone.
        let result = plan.run(&mut |op| self.op(op));
        if result.is_err() {
            let mut index = self.index.write();
            self.changed.iter().rev().for_each(|key| index.pop(key));
        }
        result
    }

    fn op(&mut self, op: &Op) -> Result<OpResult, ReadError> {
        match op {
            Op::Put(put) => self.put(put).map(OpResult::Put),
            Op::Delete(delete) => self.delete(delete).map(OpResult::Delete),
            Op::Range(range) => {
                let (horizon, values) = (self.horizon(), &*self.changes);
                read::range(horizon, values, range, &mut self.allowance, &mut self.meter).map(OpResult::Range)
            }
            Op::Txn(_) => unreachable!("a plan resolves nested transactions"),
        }
    }

    pub(crate) fn compact(&mut self, compact: &Compact) -> Result<(), Refusal> {
        let (requested, oldest) = (compact.revision, self.revisions.compacted);
        if requested <= oldest {
            return Err(Refusal::Compacted { requested, oldest });
        }
        self.horizon().readable(Some(requested))?;
        self.revisions.compacted = requested;
        Ok(())
    }

    fn previous(&mut self, key: &Bytes, version: &Version) -> Result<KeyValue, ReadError> {
        self.allowance.take(answer_bytes(key, version, false))?;
        read::fetch(&*self.changes, key.clone(), version, &mut self.meter)
    }

    fn write(&mut self, key: &Bytes, value: &[u8], version: Version) {
        self.changes.push(self.next, record::encode(key, value, &version));
        self.index.write().push(key, version);
        self.changed.push(key.clone());
        self.next.sub += 1;
    }

    fn horizon(&self) -> Horizon<'a> {
        Horizon { index: self.index, revisions: *self.revisions, newest: NEWEST }
    }
}
