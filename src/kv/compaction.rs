//! The physical half of a compaction: removing garbage from the index, in small steps.
//!
//! The logical half is a replicated command: after it, every node refuses reads below a revision. What nobody
//! can read any more is then removed, each node at its own pace. How far a node has come is not part of its
//! state: neither a read nor a hash can tell.

use crate::kv::index::{CHUNK_KEYS, SharedIndex};
use crate::kv::version::Position;
use crate::types::Revision;
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// How far the index has been cleared of garbage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// All that compactions up to this revision made unreachable is gone.
    pub(crate) through: Revision,
    /// The walk over all keys that is under way, for a later compaction.
    pub(crate) running: Option<Running>,
}

/// A walk that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// What compactions up to this revision made unreachable is gone from the keys below…
    pub(crate) target: Revision,
    /// …this key…
    pub(crate) next: Box<[u8]>,
    /// …and from that key itself what compactions up to this revision made unreachable: a hot key may have
    /// more garbage than fits into one step.
    pub(crate) of_next: Revision,
}

impl Collected {
    /// The revision below which reads may miss something.
    pub(crate) fn reach(&self) -> Revision {
        self.running.as_ref().map_or(self.through, |running| running.target)
    }

    /// The compaction up to which the garbage of a key is gone.
    pub(crate) fn of_key(&self, key: &[u8]) -> Revision {
        match &self.running {
            Some(running) => match key.cmp(&running.next) {
                Ordering::Less => running.target,
                Ordering::Equal => running.of_next,
                Ordering::Greater => self.through,
            },
            None => self.through,
        }
    }

    /// Whether there may be garbage of a compaction at `target`.
    pub(crate) fn is_behind(&self, target: Revision) -> bool {
        self.running.is_some() || self.through < target
    }

    /// Removes what compactions up to `target` made unreachable from the next keys, up to `budget` keys and
    /// versions. No read below `target` may be under way or begin. Returns what was removed, oldest first for
    /// each key; true: a tombstone.
    pub(crate) fn step(
        &mut self,
        index: &SharedIndex,
        target: Revision,
        budget: usize,
    ) -> Vec<(Position, bool)> {
        let (mut left, mut garbage) = (budget, Vec::new());
        while left > 0 && self.is_behind(target) {
            let (target, next) = match self.running.take() {
                Some(running) => (running.target, running.next),
                None => {
                    index.write().compact(target);
                    (target, Box::default())
                }
            };
            match sweep(index, target, &next, self.through, &mut left, &mut garbage) {
                Some((next, of_next)) => self.running = Some(Running { target, next, of_next }),
                None => self.through = target,
            }
        }
        garbage
    }
}

/// Drops the garbage of a chunk of keys. Returns where the next chunk begins, if there is one, and the
/// compaction up to which the garbage of that key is gone.
fn sweep(
    index: &SharedIndex,
    target: Revision,
    start: &[u8],
    through: Revision,
    left: &mut usize,
    garbage: &mut Vec<(Position, bool)>,
) -> Option<(Box<[u8]>, Revision)> {
    let mut doomed: Vec<(Box<[u8]>, usize)> = Vec::new();
    let mut of_next = through;
    let next = index.read().walk_histories(start, CHUNK_KEYS, &mut |key, history| {
        if *left == 0 {
            return ControlFlow::Break(());
        }
        let all = history.garbage(target);
        let mut count = all.min(*left);
        // The rest must not begin with a tombstone: that would be garbage by a compaction at its own revision.
        if count < all && history.get(count).is_some_and(|oldest| oldest.is_tombstone()) {
            count += 1;
        }
        if count > 0 {
            doomed.push((key.into(), count));
        }
        *left = left.saturating_sub(count.max(1));
        let versions = (0..count).filter_map(|place| history.get(place));
        garbage.extend(versions.map(|version| (version.position(), version.is_tombstone())));
        if count == all {
            return ControlFlow::Continue(());
        }
        of_next = history.get(count).map_or(through, |oldest| oldest.revision);
        ControlFlow::Break(())
    });
    for (key, count) in doomed {
        index.write().forget(&key, count);
    }
    next.map(|next| (next, of_next))
}
