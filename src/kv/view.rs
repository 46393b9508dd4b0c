//! What readers see: the state at one applied index.

use crate::kv::export::{Export, Readable};
use crate::kv::horizon::{Horizon, Values};
use crate::kv::index::SharedIndex;
use crate::kv::meta::{Meta, hash_record};
use crate::kv::model::{Op, OpResult, Range, RangeResult, Refusal, Txn, TxnResult};
use crate::kv::read::{self, Allowance, REPLY_BYTES};
use crate::kv::read_error::ReadError;
use crate::kv::readers::{Readers, Reading};
use crate::kv::record::{self, Record};
use crate::kv::table::Table;
use crate::kv::txn::Plan;
use crate::kv::version::Position;
use crate::types::{EntryId, Revision};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The state at one applied index. Cheap to clone; reads of it wait for nobody longer than
/// for a few keys, and are never disturbed by what is written meanwhile.
///
/// It holds no copy of anything, but a revision: what later entries write is invisible to it, and while it lives no
/// compaction takes what it shows at its own revision. What lies further in the past may
/// be compacted meanwhile: a read of that is refused as [`Refusal::Compacted`] then.
#[derive(Clone)]
pub struct View {
    pub(crate) meta: Meta,
    /// The number of keys that are present.
    keys: u64,
    pub(crate) index: Arc<SharedIndex>,
    pub(crate) table: Arc<dyn Table>,
    pub(crate) readers: Arc<Readers>,
    _reading: Arc<Reading>,
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
    /// The state as of now: `meta` speaks of all that is in the index.
    pub(crate) fn new(
        meta: Meta,
        index: Arc<SharedIndex>,
        table: Arc<dyn Table>,
        readers: Arc<Readers>,
    ) -> Self {
        let reading = readers.begin(meta.revision).expect("nothing is collected above the newest revision");
        let keys = index.read().present();
        Self { meta, keys, index, table, readers, _reading: Arc::new(reading) }
    }

    /// The last entry that it includes.
    pub fn applied(&self) -> EntryId {
        self.meta.applied
    }

    /// The store's revision.
    pub fn revision(&self) -> Revision {
        self.meta.revision
    }

    /// Reads below this revision are refused. 0 before the first compaction.
    pub fn compact_revision(&self) -> Revision {
        self.meta.compact_revision
    }

    /// The number of keys.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// A rolling hash over everything ever applied, free of cost. Equal on all
    /// nodes at the same applied index; it says nothing about the disk.
    pub fn state_hash(&self) -> u128 {
        self.meta.hash
    }

    /// The members, as the replica encoded them.
    pub fn members(&self) -> &Bytes {
        &self.meta.members
    }

    /// Reads a range.
    pub fn range(&self, range: &Range) -> Result<RangeResult, ReadError> {
        self.read(range, &mut Allowance::new(u64::MAX))
    }

    /// This view at an earlier revision, which no compaction takes while the answer lives: for whoever reads it in parts.
    pub fn at(&self, revision: Revision) -> Result<Self, Refusal> {
        let revision = self.horizon().readable(Some(revision))?;
        let _reading = Arc::new(self.readers.begin(revision)?);
        Ok(Self { _reading, ..self.clone() })
    }

    /// Evaluates a transaction that writes nothing in either branch, as a
    /// command would be: with the same limit on the answer.
    ///
    /// Panics if it writes: the caller asks [`Txn::is_read_only`] first.
    pub fn read_txn(&self, txn: &Txn) -> Result<TxnResult, ReadError> {
        assert!(txn.is_read_only(), "a transaction that writes goes through the log");
        let plan = Plan::new(self.horizon(), self, txn)?;
        let mut allowance = Allowance::new(REPLY_BYTES);
        plan.run(&mut |op| match op {
            Op::Range(range) => self.read(range, &mut allowance).map(OpResult::Range),
            _ => unreachable!("the transaction only reads"),
        })
    }

    /// Reads everything up to a revision (`None`: the newest) from the table and
    /// hashes it. Takes long: not for the loop.
    ///
    /// Nodes with equal revision and compact revision have equal hashes. Nothing
    /// is physically removed while it runs.
    pub fn hash(&self, revision: Option<Revision>) -> Result<StateHash, ReadError> {
        let through = self.horizon().readable(revision)?;
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

    /// What is to be read once more, at a revision that may be compacted meanwhile, is protected while it is read.
    fn read(&self, range: &Range, allowance: &mut Allowance) -> Result<RangeResult, ReadError> {
        let revision = self.horizon().readable(range.revision)?;
        let _reading = (revision < self.revision()).then(|| self.readers.begin(revision)).transpose()?;
        read::range(self.horizon(), self, range, allowance)
    }

    fn horizon(&self) -> Horizon<'_> {
        Horizon { index: &self.index, meta: &self.meta, newest: self.meta.revision }
    }
}

impl Values for View {
    fn record(&self, at: Position) -> Result<Record, ReadError> {
        let bytes = self.table.get(&at.table_key())?.ok_or_else(|| record::damaged(at, "it is missing"))?;
        Ok(record::decode(at, &bytes)?)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys();
        f.debug_struct("View").field("meta", &self.meta).field("keys", &keys).finish_non_exhaustive()
    }
}
