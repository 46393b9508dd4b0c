//! Which full blocks there are, and how much of each is garbage.

use crate::machine::state_table::Garbage;
use crate::machine::stored::{Ordinal, Stored};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// Its last record.
    pub(crate) last: Ordinal,
    pub(crate) records: u32,
    pub(crate) bytes: u32,
    /// How many of the records are garbage that a written meta record counts no longer…
    pub(crate) garbage: u32,
    /// …and how many of these are tombstones.
    pub(crate) tombstones: u32,
}

impl Info {
    /// Of a block with these records, in order and not none.
    pub(crate) fn of(records: &[Stored]) -> Self {
        let last = records.last().expect("a block has a record").at;
        let bytes = records.iter().map(Stored::size).sum::<usize>();
        let count = u32::try_from(records.len()).expect("a block has few records");
        let bytes = u32::try_from(bytes).expect("a record is far smaller than 4 GiB");
        Self { last, records: count, bytes, garbage: 0, tombstones: 0 }
    }
}

/// The full blocks by the place of their first record.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    blocks: BTreeMap<Ordinal, Info>,
    /// Those with garbage.
    dirty: BTreeSet<Ordinal>,
    records: u64,
    bytes: u64,
    garbage: u64,
}

impl Directory {
    /// The block that a record is in, if it is in any.
    pub(crate) fn block_of(&self, at: Ordinal) -> Option<(Ordinal, Info)> {
        let (first, info) = self.blocks.range(..=at).next_back()?;
        (at <= info.last).then_some((*first, *info))
    }

    /// The first block with a record behind a place.
    pub(crate) fn block_after(&self, at: Ordinal) -> Option<(Ordinal, Info)> {
        let next = || self.blocks.range((Bound::Excluded(at), Bound::Unbounded)).next();
        self.block_of(at)
            .filter(|(_, info)| info.last > at)
            .or_else(|| next().map(|(first, info)| (*first, *info)))
    }

    /// The block below another one.
    pub(crate) fn before(&self, first: Ordinal) -> Option<(Ordinal, Info)> {
        self.blocks.range(..first).next_back().map(|(first, info)| (*first, *info))
    }

    /// Adds a block, or updates what is known of it.
    pub(crate) fn set(&mut self, first: Ordinal, info: Info) {
        self.remove(first);
        self.records += u64::from(info.records);
        self.bytes += u64::from(info.bytes);
        self.garbage += u64::from(info.garbage);
        if info.garbage > 0 {
            self.dirty.insert(first);
        }
        self.blocks.insert(first, info);
    }

    pub(crate) fn remove(&mut self, first: Ordinal) {
        if let Some(old) = self.blocks.remove(&first) {
            self.records -= u64::from(old.records);
            self.bytes -= u64::from(old.bytes);
            self.garbage -= u64::from(old.garbage);
            self.dirty.remove(&first);
        }
    }

    /// A record became garbage.
    pub(crate) fn doom(&mut self, Garbage { at, tombstone }: Garbage) {
        if let Some((first, mut info)) = self.block_of(at) {
            info.garbage += 1;
            info.tombstones += u32::from(tombstone);
            debug_assert!(info.garbage <= info.records, "a record becomes garbage once");
            self.set(first, info);
        }
    }

    /// The next block with garbage, from a place on.
    pub(crate) fn dirty_from(&self, first: Ordinal) -> Option<(Ordinal, Info)> {
        let first = *self.dirty.range(first..).next()?;
        Some((first, self.blocks[&first]))
    }

    /// Whether a block below has garbage.
    pub(crate) fn is_dirty_below(&self, first: Ordinal) -> bool {
        self.dirty.first().is_some_and(|dirty| *dirty < first)
    }

    /// How large all records in them are.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether more than a quarter of all records is garbage.
    pub(crate) fn is_mostly_clean(&self) -> bool {
        self.garbage * 4 <= self.records
    }
}

/// Where a walk over the blocks with garbage is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(super) next: Ordinal,
    pub(super) everything: bool,
}

impl Pass {
    /// A new one, if there is garbage.
    pub(super) fn over(directory: &Directory) -> Option<Self> {
        let next = Ordinal::START;
        directory.dirty_from(next)?;
        Some(Self { next, everything: !directory.is_mostly_clean() })
    }
}
