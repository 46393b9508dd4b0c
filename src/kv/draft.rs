//! What one command does to the state.

use crate::kv::conflict;
use crate::kv::history::Version;
use crate::kv::index::NEWEST;
use crate::kv::model::{
    Command, Compact, Delete, DeleteResult, KeyValue, Op, OpResult, Outcome, Put, PutResult, Refusal, Txn,
};
use crate::kv::read::{self, Allowance, answer_bytes};
use crate::kv::read_error::ReadError;
use crate::kv::record::{self, Position, Record};
use crate::kv::staged::Staged;
use crate::kv::state::{State, Values};
use crate::kv::table::Table;
use crate::kv::txn::Plan;
use crate::types::Revision;
use bytes::Bytes;

/// The most keys that one command may change. Each entry goes to the table as one
/// batch, which everything else waits for; the same on all nodes, as they must
/// refuse alike. A transaction's puts are far fewer.
pub(crate) const CHANGES_MAX: usize = 16_384;

/// The most bytes of records in one command that removes keys, for the same reason. What a command
/// puts has been bounded with the request that brought it.
pub(crate) const CHANGED_BYTES_MAX: usize = 4 << 20;

/// One command being applied. If it is refused, nothing has changed.
pub(crate) struct Draft<'a> {
    state: &'a mut State,
    staged: &'a mut Staged,
    table: &'a dyn Table,
    allowance: Allowance,
    /// Where the next change goes: all changes of a command share a revision.
    next: Position,
}

/// The table with what is not in it yet.
struct Written<'a> {
    staged: &'a Staged,
    table: &'a dyn Table,
}

impl Values for Written<'_> {
    fn record(&self, at: Position, _wanted: Revision) -> Result<Record, ReadError> {
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
        state: &'a mut State,
        staged: &'a mut Staged,
        table: &'a dyn Table,
        reply_bytes: u64,
    ) -> Self {
        let next = Position::first_of(state.meta.revision.next());
        Self { state, staged, table, allowance: Allowance::new(reply_bytes), next }
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
            self.state.meta.revision = self.next.revision;
        }
        Ok(outcome)
    }

    fn put(&mut self, put: &Put) -> Result<PutResult, ReadError> {
        let replaced = self.state.index.newest(&put.key);
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
        let visible = self.state.index.visible(&delete.range, NEWEST);
        let room = CHANGES_MAX.saturating_sub(self.next.sub as usize);
        let doomed: Vec<_> = visible.take(room + 1).map(|(key, version)| (key.clone(), version)).collect();
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
        let plan = Plan::new(self.state, &self.written(), txn)?;
        // Whether the answer fits shows while it is made; then all is taken back.
        let before = self.state.index.clone();
        let result = plan.run(&mut |op| self.op(op));
        if result.is_err() {
            self.state.index = before;
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
                read::range(self.state, &values, range, &mut self.allowance).map(OpResult::Range)
            }
            Op::Txn(_) => unreachable!("a plan resolves nested transactions"),
        }
    }

    fn compact(&mut self, compact: &Compact) -> Result<Outcome, ReadError> {
        let (requested, oldest) = (compact.revision, self.state.meta.compact_revision);
        if requested <= oldest {
            return Err(Refusal::Compacted { requested, oldest }.into());
        }
        self.state.readable(Some(requested))?;
        self.state.meta.compact_revision = requested;
        Ok(Outcome::Compact)
    }

    fn previous(&mut self, key: &Bytes, version: &Version) -> Result<KeyValue, ReadError> {
        self.allowance.take(answer_bytes(key, version, false))?;
        read::fetch(&self.written(), key, version, version.revision)
    }

    fn write(&mut self, key: &[u8], value: &[u8], version: Version) {
        self.staged.push(self.next, record::encode(key, value, &version));
        self.state.index.push(key, version);
        self.next.sub += 1;
    }

    fn written(&self) -> Written<'_> {
        Written { staged: self.staged, table: self.table }
    }
}
