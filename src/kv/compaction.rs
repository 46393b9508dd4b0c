//! The physical half of a compaction, in small steps.
//!
//! The logical half is a replicated command: from it on, reads below a revision
//! are refused, on every node alike. What nobody can read any more is then
//! removed at each node's leisure. Where a node stands with that is not part
//! of its state: neither a read nor a hash can tell.

use crate::kv::index::{CHUNK_KEYS, SharedIndex};
use crate::kv::version::Position;
use crate::types::Revision;
use std::ops::ControlFlow;

/// Walks over all keys once for each compaction (or once for several that
/// came close together) and drops what is garbage.
#[derive(Default)]
pub(crate) struct Collector {
    /// All garbage of compactions up to this revision has been found.
    swept: Revision,
    /// The walk under way.
    sweep: Option<Sweep>,
    /// Found, gone from the index, but still in the table.
    garbage: Vec<Position>,
}

struct Sweep {
    target: Revision,
    next: Box<[u8]>,
}

impl Collector {
    /// Whether there may be garbage of a compaction at `target`.
    pub(crate) fn is_behind(&self, target: Revision) -> bool {
        self.sweep.is_some() || self.swept < target
    }

    /// Walks on for `budget` keys and garbage versions. No read may begin below `target` any more, and none be under way.
    ///
    /// What it finds may be removed from the table only after the compaction at `target` is in it, or a crash
    /// could undo the compaction but not the removal.
    pub(crate) fn step(&mut self, index: &SharedIndex, target: Revision, budget: usize) {
        let mut left = budget;
        while left > 0 && self.is_behind(target) {
            let sweep = self.sweep.get_or_insert_with(|| Sweep { target, next: Box::default() });
            match sweep.step(index, &mut left, &mut self.garbage) {
                Some(next) => sweep.next = next,
                None => {
                    self.swept = sweep.target;
                    self.sweep = None;
                }
            }
        }
    }

    /// Whether something is to be removed from the table.
    pub(crate) fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// What is to be removed from the table, in this order.
    pub(crate) fn take_garbage(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.garbage)
    }
}

impl Sweep {
    /// Drops the garbage of a chunk of keys. Answers where the next chunk begins, if there is one.
    fn step(&self, index: &SharedIndex, left: &mut usize, garbage: &mut Vec<Position>) -> Option<Box<[u8]>> {
        let mut doomed: Vec<(Box<[u8]>, usize)> = Vec::new();
        let next = index.read().walk_histories(&self.next, CHUNK_KEYS, &mut |key, history| {
            if *left == 0 {
                return ControlFlow::Break(());
            }
            // A hot key may have more garbage than the budget allows.
            let all = history.garbage(self.target);
            let count = all.min(*left);
            if count > 0 {
                doomed.push((key.into(), count));
            }
            *left -= count.max(1);
            // Oldest first: were a tombstone gone before the put below it, a
            // crash between the two would bring the key back to life.
            let versions = (0..count).filter_map(|place| history.get(place));
            garbage.extend(versions.map(|version| version.position()));
            if count < all { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        for (key, count) in doomed {
            index.write().forget(&key, count);
        }
        next
    }
}
