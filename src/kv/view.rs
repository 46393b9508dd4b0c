//! What readers see: the state at one applied index, for ever.

use crate::kv::{RangeResult, Range, Refusal, TableError, Txn, TxnResult};
use crate::types::{EntryId, Revision};
use bytes::Bytes;

/// An immutable picture of the state at one applied index. Cheap to clone; reads
/// of it never wait for the writer and are never disturbed by it.
#[derive(Clone, Debug)]
pub struct View;

/// A read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The request cannot be answered from this state.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine broke its word.
    #[error(transparent)]
    Table(#[from] TableError),
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

/// The raw records that reproduce a state in another table.
pub struct Export;

impl Iterator for Export {
    type Item = Result<(Bytes, Bytes), TableError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

impl View {
    /// The last entry that it includes.
    pub fn applied(&self) -> EntryId {
        todo!()
    }
    /// The store's revision.
    pub fn revision(&self) -> Revision {
        todo!()
    }
    /// Reads below this revision are refused.
    pub fn compact_revision(&self) -> Revision {
        todo!()
    }
    /// The number of keys.
    pub fn keys(&self) -> u64 {
        todo!()
    }
    /// A rolling hash over everything ever applied, free of cost.
    pub fn state_hash(&self) -> u128 {
        todo!()
    }
    /// The members, as the replica encoded them.
    pub fn members(&self) -> &Bytes {
        todo!()
    }
    /// Reads a range.
    pub fn range(&self, _range: &Range) -> Result<RangeResult, ReadError> {
        todo!()
    }
    /// Evaluates a transaction that writes nothing in either branch.
    pub fn read_txn(&self, _txn: &Txn) -> Result<TxnResult, ReadError> {
        todo!()
    }
    /// Reads everything from the table and hashes it. Takes long: not for the loop.
    pub fn hash(&self, _revision: Option<Revision>) -> Result<StateHash, ReadError> {
        todo!()
    }
    /// Everything that another node needs to have this state. Not disturbed by
    /// later writes; while it lives, nothing it needs is physically removed.
    pub fn export(&self) -> Export {
        todo!()
    }
}
