//! Builds the index from the records that a table has.
//!
//! They come in the order in which they were written, and are sorted by key once: much faster than as many
//! insertions into a map that does not fit the processor's caches.

use crate::kv::compaction::Collected;
use crate::kv::history::KeyHistory;
use crate::kv::index::Index;
use crate::kv::version::{Position, Version};
use crate::types::Revision;

/// Takes the records of a table, oldest first.
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
        // Stable, so that the versions of a key stay in their order.
        self.versions.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut built = Built { index: Index::default(), garbage: Vec::new() };
        let (mut present, mut deleted) = (Vec::new(), Vec::new());
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
