//! What is being read, so that nothing is removed that a running read needs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by a machine and its views. `P` is a point in the order of all changes: a revision, or finer than that.
#[derive(Debug)]
pub(crate) struct Readers<P: Ord + Copy>(Mutex<Reads<P>>);

#[derive(Debug)]
struct Reads<P> {
    /// What only reads below this point need may have been removed.
    collected: P,
    /// The points being read, each with its number of reads.
    reading: BTreeMap<P, usize>,
}

impl<P: Ord + Copy> Readers<P> {
    /// Nothing is being read, and nothing that a read at `oldest` needs was removed.
    pub(crate) fn new(oldest: P) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Reads { collected: oldest, reading: BTreeMap::new() })))
    }

    /// Keeps what a read at a point needs until the returned guard is dropped. Refused with the oldest point at
    /// which nothing has been removed.
    pub(crate) fn begin(self: &Arc<Self>, at: P) -> Result<Reading<P>, P> {
        let mut state = self.lock();
        if at < state.collected {
            return Err(state.collected);
        }
        *state.reading.entry(at).or_default() += 1;
        Ok(Reading { readers: Arc::clone(self), at })
    }

    /// Asks to remove what only reads below `wanted` need. Returns up to which point that is allowed: from
    /// then on no read begins below it.
    pub(crate) fn collect(&self, wanted: P) -> P {
        let mut state = self.lock();
        let oldest = state.reading.keys().next().map_or(wanted, |oldest| wanted.min(*oldest));
        state.collected = state.collected.max(oldest);
        state.collected
    }

    fn lock(&self) -> MutexGuard<'_, Reads<P>> {
        // No code panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read under way.
#[derive(Debug)]
pub(crate) struct Reading<P: Ord + Copy> {
    readers: Arc<Readers<P>>,
    at: P,
}

impl<P: Ord + Copy> Drop for Reading<P> {
    fn drop(&mut self) {
        let mut state = self.readers.lock();
        if let Some(count) = state.reading.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                state.reading.remove(&self.at);
            }
        }
    }
}
