//! Builds the index from the records that a table has.
//!
//! They come in any order, and are sorted once by key: much faster than as many insertions into a map that does
//! not fit the processor's caches.

use crate::kv::compaction::Collected;
use crate::kv::history::KeyHistory;
use crate::kv::index::Index;
use crate::kv::version::{Position, Version};
use crate::types::Revision;

/// Up to this many records get room in advance, whatever number is announced.
const RECORDS_AHEAD_MAX: u64 = 1 << 24;

/// Takes the records of a table.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    versions: Vec<(Box<[u8]>, Version)>,
}

/// An index, and what it leaves out.
pub(crate) struct Built {
    pub(crate) index: Index,
    /// What had been collected, but is still in the table. True: a tombstone.
    pub(crate) garbage: Vec<(Position, bool)>,
}

impl IndexBuilder {
    /// For about so many records: a list of millions is costly to move.
    pub(crate) fn with_capacity(records: u64) -> Self {
        let records = usize::try_from(records.min(RECORDS_AHEAD_MAX)).unwrap_or_default();
        Self { versions: Vec::with_capacity(records) }
    }

    /// Takes the next record.
    pub(crate) fn push(&mut self, key: &[u8], version: Version) {
        self.versions.push((key.into(), version));
    }

    /// All have come. Garbage of what was collected is left out; `live` is told each version that is part of the index.
    pub(crate) fn finish(
        mut self,
        collected: &Collected,
        current: Revision,
        live: &mut dyn FnMut(&Version),
    ) -> Built {
        // Not stable: that would need as much memory again.
        self.versions.sort_unstable_by(|(left, old), (right, new)| {
            left.cmp(right).then_with(|| old.position().cmp(&new.position()))
        });
        let mut built = Built { index: Index::default(), garbage: Vec::new() };
        let (mut present, mut deleted) = (Vec::with_capacity(self.versions.len()), Vec::new());
        let mut versions = self.versions.into_iter().peekable();
        while let Some((key, first)) = versions.next() {
            let through = collected.of_key(&key);
            let mut history = KeyHistory::new(first);
            while let Some((_, version)) = versions.next_if(|(next, _)| *next == key) {
                if version.revision <= through {
                    // All before it is garbage; and may have gaps, so that it cannot be a history.
                    let garbage = (0..history.len()).filter_map(|place| history.get(place));
                    built.garbage.extend(garbage.map(|version| (version.position(), version.is_tombstone())));
                    history = KeyHistory::new(version);
                } else {
                    history.push(version);
                }
            }
            let garbage = history.garbage(through);
            let doomed = (0..garbage).filter_map(|place| history.get(place));
            built.garbage.extend(doomed.map(|version| (version.position(), version.is_tombstone())));
            if !history.forget(garbage) {
                continue;
            }
            (0..history.len()).filter_map(|place| history.get(place)).for_each(|version| live(&version));
            let home = if history.newest().is_tombstone() { &mut deleted } else { &mut present };
            home.push((key, history));
        }
        built.index = Index::from_sorted(present, deleted, current);
        built
    }
}
