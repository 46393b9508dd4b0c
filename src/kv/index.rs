//! The ordered index over all keys, in memory.

use crate::kv::history::{KeyHistory, Version};
use crate::kv::model::KeyRange;
use crate::types::Revision;
use bytes::Bytes;
use imbl::OrdMap;
use std::ops::Bound;

/// Reads at this revision see everything.
pub(crate) const NEWEST: Revision = Revision(u64::MAX);

/// Key to versions. Cloning it is free, and a clone never changes: that is
/// what lets readers work beside the writer without a lock. A write copies the
/// few nodes on the way to its key if a clone still shares them.
#[derive(Clone, Default)]
pub(crate) struct Index {
    map: OrdMap<Bytes, KeyHistory>,
    /// How many keys are present; the map also holds those that were deleted
    /// and whose history can still be read.
    present: u64,
}

impl Index {
    /// The number of keys that are present.
    pub(crate) fn present(&self) -> u64 {
        self.present
    }

    /// All versions of a key.
    pub(crate) fn history(&self, key: &[u8]) -> Option<&KeyHistory> {
        self.map.get(key)
    }

    /// The newest version of a key, if it is present.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<Version> {
        self.history(key).map(|history| *history.newest()).filter(|newest| !newest.is_tombstone())
    }

    /// The histories of a range, in key order.
    pub(crate) fn range(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = (&Bytes, &KeyHistory)> {
        let end = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        let bounds = (!range.is_empty()).then_some((Bound::Included(&range.start[..]), end));
        bounds.into_iter().flat_map(|bounds| self.map.range::<_, [u8]>(bounds))
    }

    /// The versions of a range that a read at `revision` sees, in key order.
    pub(crate) fn visible(
        &self,
        range: &KeyRange,
        revision: Revision,
    ) -> impl DoubleEndedIterator<Item = (&Bytes, Version)> {
        self.range(range).filter_map(move |(key, history)| {
            let version = history.at(revision)?;
            (!version.is_tombstone()).then_some((key, *version))
        })
    }

    /// All histories, in key order.
    pub(crate) fn histories(&self) -> impl Iterator<Item = (&Bytes, &KeyHistory)> {
        self.map.iter()
    }

    /// Adds the newest version of a key.
    pub(crate) fn push(&mut self, key: &[u8], version: Version) {
        let mut was_present = false;
        match self.map.get_mut(key) {
            Some(history) => {
                was_present = !history.newest().is_tombstone();
                history.push(version);
            }
            None => {
                // A copy: the key's bytes belong to a record or a receive buffer.
                self.map.insert(Bytes::copy_from_slice(key), KeyHistory::new(version));
            }
        }
        match (was_present, !version.is_tombstone()) {
            (false, true) => self.present += 1,
            (true, false) => self.present -= 1,
            _ => {}
        }
    }

    /// Forgets the `count` oldest versions of a key, and the key with the last.
    pub(crate) fn forget(&mut self, key: &[u8], count: usize) {
        let left = self.map.get_mut(key).is_some_and(|history| history.forget(count));
        if !left {
            self.map.remove(key);
        }
    }
}
