//! The physical half of a compaction, in small steps.
//!
//! The logical half is a replicated command: from it on, reads below a revision
//! are refused, on every node alike. What nobody can read any more is then
//! removed at each node's leisure. Where a node stands with that is not part
//! of its state: neither a read nor a hash can tell.

use crate::kv::index::Index;
use crate::kv::model::KeyRange;
use crate::kv::record::Position;
use crate::types::Revision;
use bytes::Bytes;

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
    next: Bytes,
}

/// What a step found: versions to drop, by key; and where the next step begins, if any.
struct Findings {
    drop: Vec<(Bytes, usize)>,
    next: Option<Bytes>,
}

impl Collector {
    /// Whether there may be garbage of a compaction at `target`.
    pub(crate) fn is_behind(&self, target: Revision) -> bool {
        self.sweep.is_some() || self.swept < target
    }

    /// The revision below which reads may miss something, once the garbage
    /// found so far is removed.
    pub(crate) fn reach(&self) -> Revision {
        self.sweep.as_ref().map_or(self.swept, |sweep| sweep.target)
    }

    /// Walks on for `budget` keys and garbage versions. What it finds may be removed from
    /// the table only after the compaction at `target` is in it, or a crash
    /// could undo the compaction but not the removal.
    pub(crate) fn step(&mut self, index: &mut Index, target: Revision, budget: usize) {
        if !self.is_behind(target) || budget == 0 {
            return;
        }
        let sweep = self.sweep.get_or_insert_with(|| Sweep { target, next: Bytes::new() });
        let found = sweep.find(index, budget);
        for (key, count) in found.drop {
            // Oldest first: were a tombstone gone before the put below it, a
            // crash between the two would bring the key back to life.
            let history = index.history(&key).into_iter();
            let positions = history.flat_map(|history| (0..count).filter_map(|place| history.get(place)));
            self.garbage.extend(positions.map(|version| version.position()));
            index.forget(&key, count);
        }
        match found.next {
            Some(next) => sweep.next = next,
            None => {
                self.swept = sweep.target;
                self.sweep = None;
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
    fn find(&self, index: &Index, budget: usize) -> Findings {
        let mut left = budget;
        let mut drop = Vec::new();
        for (key, history) in index.range(&KeyRange::span(self.next.clone(), None)) {
            if left == 0 {
                return Findings { drop, next: Some(key.clone()) };
            }
            // A hot key may have more garbage than the budget allows.
            let garbage = history.garbage(self.target);
            let count = garbage.min(left);
            if count > 0 {
                drop.push((key.clone(), count));
            }
            left -= count.max(1);
            if count < garbage {
                return Findings { drop, next: Some(key.clone()) };
            }
        }
        Findings { drop, next: None }
    }
}
