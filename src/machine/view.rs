//! What readers see: the state at one applied index.

use crate::kv::horizon::{Horizon, Values};
use crate::kv::index::SharedIndex;
use crate::kv::read::{self, Allowance};
use crate::kv::readers::{Readers, Reading};
use crate::kv::record::{self, Record};
use crate::kv::txn::Plan;
use crate::kv::version::Position;
use crate::kv::work::{Caller, Meter, Patient};
use crate::kv::{CommandLimits, Op, OpResult, Range, RangeResult, ReadError, Refusal, Txn, TxnResult};
use crate::machine::blocks::Store;
use crate::machine::compatibility::ClusterVersion;
use crate::machine::meta::Meta;
use crate::types::{EntryId, Revision};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// The state at one applied index. Cheap to clone. Reads never wait longer than for a few keys, and are not
/// affected by concurrent writes.
///
/// It holds no copy, only a revision: what later entries write is invisible to it, and while it lives no
/// compaction removes what it shows at its own revision. What lies further in the past may be compacted
/// meanwhile: a read of that is refused with [`Refusal::Compacted`].
#[derive(Clone)]
pub struct View {
    pub(crate) meta: Arc<Meta>,
    /// The number of keys that are present.
    keys: u64,
    pub(crate) index: Arc<SharedIndex>,
    pub(crate) store: Arc<Store>,
    pub(crate) readers: Arc<Readers>,
    _reading: Arc<Reading>,
}

impl View {
    /// The current state: `meta` covers everything in the index.
    pub(crate) fn new(
        meta: &Meta,
        index: &Arc<SharedIndex>,
        store: &Arc<Store>,
        readers: &Arc<Readers>,
    ) -> Self {
        let reading = readers.begin(meta.revisions.current);
        let reading = Arc::new(reading.expect("nothing is collected above the newest revision"));
        let (keys, meta) = (index.read().present(), Arc::new(meta.clone()));
        let (index, store, readers) = (Arc::clone(index), Arc::clone(store), Arc::clone(readers));
        Self { meta, keys, index, store, readers, _reading: reading }
    }

    /// The last entry that it includes.
    pub fn applied(&self) -> EntryId {
        self.meta.applied
    }

    pub fn revision(&self) -> Revision {
        self.meta.revisions.current
    }

    /// Reads below this revision are refused. 0 before the first compaction.
    pub fn compact_revision(&self) -> Revision {
        self.meta.revisions.compacted
    }

    /// The cluster's version, which decides which entries can be applied.
    pub fn version(&self) -> ClusterVersion {
        self.meta.version
    }

    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// A rolling hash over everything ever applied, at no cost. Equal on all nodes at the same applied index;
    /// it says nothing about the disk.
    pub fn state_hash(&self) -> u128 {
        self.meta.hash
    }

    /// The members, as the replica encoded them.
    pub fn members(&self) -> &Bytes {
        &self.meta.members
    }

    /// The limits on one command.
    pub fn limits(&self) -> CommandLimits {
        self.meta.limits
    }

    pub fn range(&self, range: &Range) -> Result<RangeResult, ReadError> {
        self.range_for(&Patient, range)
    }

    /// The same, for as long as the caller waits.
    pub fn range_for(&self, caller: &dyn Caller, range: &Range) -> Result<RangeResult, ReadError> {
        self.read(range, &mut Allowance::new(u64::MAX), &mut Meter::of_read(caller))
    }

    /// This view at an earlier revision, which no compaction removes while the returned view lives: for reads
    /// in several steps.
    pub fn at(&self, revision: Revision) -> Result<Self, Refusal> {
        let revision = self.horizon().readable(Some(revision))?;
        let _reading = Arc::new(self.readers.begin(revision)?);
        Ok(Self { _reading, ..self.clone() })
    }

    /// Evaluates a transaction that writes in neither branch, with the same limit on the answer as for a command.
    ///
    /// Panics if it writes: the caller asks [`Txn::is_read_only`] first.
    pub fn read_txn(&self, txn: &Txn) -> Result<TxnResult, ReadError> {
        self.read_txn_for(&Patient, txn)
    }

    /// The same, for as long as the caller waits.
    pub fn read_txn_for(&self, caller: &dyn Caller, txn: &Txn) -> Result<TxnResult, ReadError> {
        assert!(txn.is_read_only(), "a transaction that writes goes through the log");
        let mut meter = Meter::of_read(caller);
        let plan = Plan::new(self.horizon(), self, txn, &mut meter)?;
        let mut allowance = Allowance::new(self.meta.limits.reply_bytes);
        plan.run(&mut |op| match op {
            Op::Range(range) => self.read(range, &mut allowance, &mut meter).map(OpResult::Range),
            _ => unreachable!("the transaction only reads"),
        })
    }

    /// A read at a revision that may be compacted meanwhile protects it for the time of the read.
    fn read(
        &self,
        range: &Range,
        allowance: &mut Allowance,
        meter: &mut Meter<'_>,
    ) -> Result<RangeResult, ReadError> {
        let revision = self.horizon().readable(range.revision)?;
        let _reading = (revision < self.revision()).then(|| self.readers.begin(revision)).transpose()?;
        read::range(self.horizon(), self, range, allowance, meter)
    }

    pub(crate) fn horizon(&self) -> Horizon<'_> {
        Horizon { index: &self.index, revisions: self.meta.revisions, newest: self.revision() }
    }
}

impl Values for View {
    fn record(&self, at: Position) -> Result<Record, ReadError> {
        Ok(record::decode(at, &self.store.read(at)?)?)
    }

    fn records(&self, at: &[Position]) -> Result<Vec<Record>, ReadError> {
        let bytes = self.store.read_many(at)?;
        at.iter().zip(bytes).map(|(at, bytes)| Ok(record::decode(*at, &bytes)?)).collect()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys();
        f.debug_struct("View").field("meta", &self.meta).field("keys", &keys).finish_non_exhaustive()
    }
}
