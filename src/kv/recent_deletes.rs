//! The last deletes: few enough that a chunk of a walk may look at all of them.

use crate::types::Revision;
use std::collections::VecDeque;

/// How many are remembered: more than a group of writes is likely to bring before it is published, and no more
/// than a reader may sort while the index is locked.
pub(crate) const RECENT_DELETES: usize = 1024;

/// How many bytes the keys of these may have together.
pub(crate) const RECENT_KEY_BYTES: usize = 1 << 20;

/// The keys that were deleted last.
#[derive(Default)]
pub(crate) struct RecentDeletes {
    /// Oldest first; some keys may be present again.
    deletes: VecDeque<(Revision, Box<[u8]>)>,
    key_bytes: usize,
    /// All deletes above this revision are among them.
    complete_above: Revision,
}

impl RecentDeletes {
    /// Nothing is known of the deletes up to this revision, and there are none above it.
    pub(crate) fn none_above(revision: Revision) -> Self {
        Self { complete_above: revision, ..Self::default() }
    }

    /// Adds the newest delete, and forgets the oldest when there are too many.
    pub(crate) fn push(&mut self, revision: Revision, key: &[u8]) {
        self.key_bytes += key.len();
        self.deletes.push_back((revision, key.into()));
        while self.deletes.len() > RECENT_DELETES || self.key_bytes > RECENT_KEY_BYTES {
            self.forget_oldest();
        }
    }

    /// Takes back the newest delete.
    pub(crate) fn pop(&mut self) {
        // If it was forgotten, so were all before it.
        if let Some((_, key)) = self.deletes.pop_back() {
            self.key_bytes -= key.len();
        }
    }

    /// Forgets the deletes that only reads below this revision need: there will be none.
    pub(crate) fn compact(&mut self, revision: Revision) {
        while self.deletes.front().is_some_and(|(deleted, _)| *deleted <= revision) {
            self.forget_oldest();
        }
    }

    /// The keys that were deleted above a revision, not in order and some perhaps twice. `None`: more than are
    /// remembered.
    pub(crate) fn above(&self, revision: Revision) -> Option<impl Iterator<Item = &[u8]>> {
        let first = self.deletes.partition_point(|(deleted, _)| *deleted <= revision);
        (revision >= self.complete_above).then(|| self.deletes.range(first..).map(|(_, key)| &key[..]))
    }

    /// Their number, and the bytes of their keys.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.deletes.len(), self.deletes.iter().map(|(_, key)| key.len()).sum())
    }

    fn forget_oldest(&mut self) {
        if let Some((revision, key)) = self.deletes.pop_front() {
            self.key_bytes -= key.len();
            self.complete_above = revision;
        }
    }
}
