//! What readers see: the state at one applied index.

use crate::kv::horizon::Horizon;
use crate::kv::read::{self, Allowance};
use crate::kv::readers::Reading;
use crate::kv::txn::Plan;
use crate::kv::work::{Caller, Meter, Patient};
use crate::kv::{CommandLimits, Op, OpResult, Range, RangeResult, ReadError, Refusal, Txn, TxnResult};
use crate::machine::blocks::Store;
use crate::machine::compatibility::ClusterVersion;
use crate::machine::meta::Meta;
use crate::machine::stored::Ordinal;
use crate::machine::tables::Tables;
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
    pub(crate) tables: Arc<Tables>,
    pub(crate) store: Arc<Store>,
    _revision: Arc<Reading<Revision>>,
    _last: Arc<Reading<Ordinal>>,
}

impl View {
    /// The current state: `meta` covers everything in the tables.
    pub(crate) fn new(meta: &Meta, tables: &Arc<Tables>, store: &Arc<Store>) -> Self {
        let _revision = tables.versions.keep(meta.revisions.current);
        let _revision = Arc::new(_revision.expect("nothing is collected above the newest revision"));
        let _last = Arc::new(tables.keep(meta.last));
        let (keys, meta) = (tables.versions.index.read().present(), Arc::new(meta.clone()));
        Self { meta, keys, tables: Arc::clone(tables), store: Arc::clone(store), _revision, _last }
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
    pub fn members(&self) -> Bytes {
        self.tables.members.get(&[], self.meta.last).unwrap_or_default()
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
        let _revision = Arc::new(self.tables.versions.keep(revision)?);
        Ok(Self { _revision, ..self.clone() })
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
        let plan = Plan::new(self.horizon(), &*self.store, txn, &mut meter)?;
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
        let keep = || self.tables.versions.keep(revision);
        let _reading = (revision < self.revision()).then(keep).transpose()?;
        read::range(self.horizon(), &*self.store, range, allowance, meter)
    }

    pub(crate) fn horizon(&self) -> Horizon<'_> {
        self.tables.versions.horizon(self.meta.revisions)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys();
        f.debug_struct("View").field("meta", &self.meta).field("keys", &keys).finish_non_exhaustive()
    }
}
