//! What the state machine has to know of a table of the state.

use crate::kv::work::Meter;
use crate::kv::{ReadError, TableError};
use crate::machine::meta::Meta;
use crate::machine::stored::{Ordinal, Stored};
use crate::types::Revision;

/// A table of the state: what its records say, in memory, and which of them still matter.
///
/// It changes only where the state machine applies an entry; readers use it at the same time. What a reader
/// needs stays until it ends.
pub(crate) trait StateTable: Send + Sync {
    /// Takes the next record at a start.
    fn load(&mut self, record: &Stored) -> Result<(), TableError>;

    /// All have come. `live` is told the place of each that is live. Returns the others, in any order.
    fn loaded(&mut self, meta: &Meta, live: &mut dyn FnMut(Ordinal)) -> Vec<Garbage>;

    /// Whether somebody who sees this much of the state can see what the record says. The same on all nodes.
    fn shows(&self, record: &Stored, extent: &Extent) -> Result<bool, TableError>;

    /// How many such records there are, from memory: if the disk has fewer, it is damaged.
    fn shown(&self, extent: &Extent, meter: &mut Meter<'_>) -> Result<u64, ReadError>;

    /// Drops records from memory that no reader needs, neither now nor later, if the newest readers see `shown`;
    /// looks at up to `budget`. `meta` counts them no longer. Answers whether there was anything to look at.
    fn collect(&self, meta: &mut Meta, shown: &Meta, budget: usize, garbage: &mut Vec<Garbage>) -> bool;

    /// Whether there is more of that, which perhaps a reader still needs.
    fn is_behind(&self, meta: &Meta, shown: &Meta) -> bool;

    /// What has become of a record that is still in a block.
    fn fate(&self, record: &Stored) -> Result<Fate, TableError>;
}

/// How much of the state is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Up to this record.
    pub(crate) through: Ordinal,
    /// From this compaction on.
    pub(crate) compacted: Revision,
}

/// A record that no longer matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage {
    pub(crate) at: Ordinal,
    /// Whether it must outlive all older records of its key.
    pub(crate) tombstone: bool,
}

/// What a record is to its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Live,
    Garbage,
    /// Garbage that must outlive all older records of its key.
    Tombstone,
}
