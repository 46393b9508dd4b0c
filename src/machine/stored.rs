//! A record as it is stored, whichever table of the state it belongs to.
//!
//! The records of all tables are handled alike: staged, counted, hashed, written in blocks, exported. What one
//! means is known only to its table (`state_table.rs`).

use crate::kv::codec::varint_len;
use crate::types::Revision;
use bytes::Bytes;
use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// A table of the state. Its number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TableId {
    /// The versions of all keys ([`kv`](crate::kv)).
    Versions = 1,
    /// The members of the cluster.
    Members = 2,
}

impl TableId {
    pub(crate) const ALL: [Self; 2] = [Self::Versions, Self::Members];

    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// The place of a record in the order of all records ever made, in all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ordinal {
    /// The store's revision once the record's entry is applied.
    pub(crate) revision: Revision,
    /// Numbers the records of a revision, of which there may be many: not every record makes one.
    pub(crate) step: u64,
}

impl Ordinal {
    /// Before all records.
    pub(crate) const START: Self = Self { revision: Revision(0), step: 0 };

    /// Behind all records of a revision.
    pub(crate) fn end_of(revision: Revision) -> Self {
        Self { revision, step: u64::MAX }
    }

    /// The place of the record that follows this one and leaves the revision as it is.
    pub(crate) fn next_at(self, current: Revision) -> Self {
        match self.revision < current {
            true => Self { revision: current, step: 0 },
            false => Self { step: self.step + 1, ..self },
        }
    }
}

impl fmt::Display for Ordinal {
    /// `revision.step`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.revision, self.step)
    }
}

/// A record of any table. It never changes: what it says is replaced by a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) table: TableId,
    pub(crate) at: Ordinal,
    pub(crate) bytes: Bytes,
}

impl Stored {
    /// The most bytes it takes in a block.
    pub(crate) fn size(&self) -> usize {
        1 + varint_len(self.at.revision.get()) + varint_len(self.at.step) + 4 + self.bytes.len()
    }

    /// Adds it to a hash, delimited so that no two lists of records are hashed alike.
    pub(crate) fn hash(&self, hasher: &mut Xxh3) {
        hasher.update(&[self.table as u8]);
        hasher.update(&self.at.revision.get().to_be_bytes());
        hasher.update(&self.at.step.to_be_bytes());
        hasher.update(&(self.bytes.len() as u64).to_be_bytes());
        hasher.update(&self.bytes);
    }
}
