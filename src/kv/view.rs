//! What readers see: the state at one applied index, for ever.

use crate::kv::export::{Export, Readable};
use crate::kv::meta::hash_record;
use crate::kv::model::{Op, OpResult, Range, RangeResult, Refusal, Txn, TxnResult};
use crate::kv::read::{self, Allowance, REPLY_BYTES};
use crate::kv::read_error::ReadError;
use crate::kv::record::{self, Position, Record};
use crate::kv::retention::Retention;
use crate::kv::state::{State, Values};
use crate::kv::table::Table;
use crate::kv::txn::Plan;
use crate::types::{EntryId, Revision};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// An immutable picture of the state at one applied index. Cheap to clone; reads
/// of it never wait for the writer and are never disturbed by it.
///
/// It holds the index in memory; values are read from the table, which goes
/// on. A view that is kept while the store is compacted beyond it may therefore
/// find a value gone: the read is then refused as [`Refusal::Compacted`].
#[derive(Clone)]
pub struct View {
    pub(crate) state: State,
    pub(crate) table: Arc<dyn Table>,
    pub(crate) retention: Arc<Retention>,
}

/// A hash over all versions of keys that can still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateHash {
    /// Up to which revision.
    pub revision: Revision,
    /// From which compaction on.
    pub compact_revision: Revision,
    /// The hash.
    pub hash: u128,
    /// How many versions.
    pub records: u64,
}

impl View {
    /// The last entry that it includes.
    pub fn applied(&self) -> EntryId {
        self.state.meta.applied
    }

    /// The store's revision.
    pub fn revision(&self) -> Revision {
        self.state.meta.revision
    }

    /// Reads below this revision are refused. 0 before the first compaction.
    pub fn compact_revision(&self) -> Revision {
        self.state.meta.compact_revision
    }

    /// The number of keys.
    pub fn keys(&self) -> u64 {
        self.state.index.present()
    }

    /// A rolling hash over everything ever applied, free of cost. Equal on all
    /// nodes at the same applied index; it says nothing about the disk.
    pub fn state_hash(&self) -> u128 {
        self.state.meta.hash
    }

    /// The members, as the replica encoded them.
    pub fn members(&self) -> &Bytes {
        &self.state.meta.members
    }

    /// Reads a range.
    pub fn range(&self, range: &Range) -> Result<RangeResult, ReadError> {
        read::range(&self.state, self, range, &mut Allowance::new(u64::MAX))
    }

    /// Evaluates a transaction that writes nothing in either branch, as a
    /// command would be: with the same limit on the answer.
    ///
    /// Panics if it writes: the caller asks [`Txn::is_read_only`] first.
    pub fn read_txn(&self, txn: &Txn) -> Result<TxnResult, ReadError> {
        assert!(txn.is_read_only(), "a transaction that writes goes through the log");
        let plan = Plan::new(&self.state, self, txn)?;
        let mut allowance = Allowance::new(REPLY_BYTES);
        plan.run(&mut |op| match op {
            Op::Range(range) => read::range(&self.state, self, range, &mut allowance).map(OpResult::Range),
            _ => unreachable!("the transaction only reads"),
        })
    }

    /// Reads everything up to a revision (`None`: the newest) from the table and
    /// hashes it. Takes long: not for the loop.
    ///
    /// Nodes with equal revision and compact revision have equal hashes. Nothing
    /// is physically removed while it runs.
    pub fn hash(&self, revision: Option<Revision>) -> Result<StateHash, ReadError> {
        let through = self.state.readable(revision)?.min(self.revision());
        let (mut hasher, mut records) = (Xxh3::new(), 0);
        for record in Readable::new(self, through)? {
            let (key, value) = record?;
            hash_record(&mut hasher, &key, &value);
            records += 1;
        }
        let hash = hasher.digest128();
        Ok(StateHash { revision: through, compact_revision: self.compact_revision(), hash, records })
    }

    /// Everything that another node needs to have this state. Not disturbed by
    /// later writes; while it lives, nothing is physically removed.
    ///
    /// Refused only if this is an old view and what it needs was removed
    /// already: take the newest view then.
    pub fn export(&self) -> Result<Export, Refusal> {
        Export::new(self)
    }
}

impl Values for View {
    fn record(&self, at: Position, wanted: Revision) -> Result<Record, ReadError> {
        match self.table.get(&at.table_key())? {
            Some(bytes) => Ok(record::decode(at, &bytes)?),
            None => Err(self.missing(at, wanted)),
        }
    }
}

impl View {
    /// Only a read below what was collected may miss something.
    fn missing(&self, at: Position, wanted: Revision) -> ReadError {
        let oldest = self.retention.collected();
        if wanted < oldest {
            Refusal::Compacted { requested: wanted, oldest }.into()
        } else {
            record::damaged(at, "it is missing").into()
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys();
        f.debug_struct("View").field("meta", &self.state.meta).field("keys", &keys).finish_non_exhaustive()
    }
}
