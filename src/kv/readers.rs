//! The revisions being read, so that a compaction removes nothing that a running read needs.

use crate::kv::model::Refusal;
use crate::types::Revision;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by a machine and its views.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What only reads below this revision need may have been removed.
    collected: Revision,
    /// The revisions being read, each with its number of reads.
    reading: BTreeMap<Revision, usize>,
}

impl Readers {
    /// Keeps what a read at `revision` needs until the returned guard is dropped. Refused if some of that may
    /// have been removed already.
    pub(crate) fn begin(self: &Arc<Self>, revision: Revision) -> Result<Reading, Refusal> {
        let mut state = self.lock();
        let oldest = state.collected;
        if revision < oldest {
            return Err(Refusal::Compacted { requested: revision, oldest });
        }
        *state.reading.entry(revision).or_default() += 1;
        Ok(Reading { readers: Arc::clone(self), revision })
    }

    /// Asks to remove what only reads below `wanted` need. Returns up to which revision that is allowed: from
    /// then on no read begins below it.
    pub(crate) fn collect(&self, wanted: Revision) -> Revision {
        let mut state = self.lock();
        let oldest = state.reading.keys().next().map_or(wanted, |oldest| wanted.min(*oldest));
        state.collected = state.collected.max(oldest);
        state.collected
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read under way.
#[derive(Debug)]
pub(crate) struct Reading {
    readers: Arc<Readers>,
    revision: Revision,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.readers.lock();
        if let Some(count) = state.reading.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                state.reading.remove(&self.revision);
            }
        }
    }
}
