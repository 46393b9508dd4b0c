//! The directories `state-NNNNNN`, and when they may be removed.

use crate::storage::directory::Layout;
use crate::storage::error::StorageError;
use crate::storage::fsync;
use crate::storage::lock::DirectoryLock;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The generations that this process uses or is removing. Shared with the removing threads, which do not hold
/// the lock of the directory.
type Live = Arc<Mutex<BTreeSet<u64>>>;

/// All generations of a data directory.
#[derive(Debug)]
pub(crate) struct Generations {
    layout: Layout,
    /// Those that somebody in this process uses or is just removing.
    live: Live,
    _lock: Arc<DirectoryLock>,
}

impl Generations {
    pub(crate) fn new(layout: Layout, lock: Arc<DirectoryLock>) -> Arc<Self> {
        Arc::new(Self { layout, live: Live::default(), _lock: lock })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// An existing generation, which is now in use.
    pub(crate) fn existing(self: &Arc<Self>, number: u64) -> Generation {
        self.live().insert(number);
        Generation { number, condemned: AtomicBool::new(false), all: self.clone() }
    }

    /// A new generation with an unused number. It is to be removed unless [`Generation::keep`] is called.
    pub(crate) fn fresh(self: &Arc<Self>) -> Result<Generation, StorageError> {
        let mut live = self.live();
        let on_disk = self.layout.states()?;
        let number = live.iter().chain(&on_disk).max().map_or(1, |highest| highest + 1);
        live.insert(number);
        Ok(Generation { number, condemned: AtomicBool::new(true), all: self.clone() })
    }

    /// Removes the generations that nobody uses.
    pub(crate) fn remove_unused(&self) -> Result<(), StorageError> {
        let live = self.live();
        for number in self.layout.states()?.into_iter().filter(|number| !live.contains(number)) {
            fsync::remove_dir(&self.layout.state(number))?;
        }
        Ok(())
    }

    fn live(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        lock(&self.live)
    }
}

fn lock(live: &Live) -> MutexGuard<'_, BTreeSet<u64>> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One generation, in use while this value lives.
#[derive(Debug)]
pub(crate) struct Generation {
    number: u64,
    condemned: AtomicBool,
    all: Arc<Generations>,
}

impl Generation {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn keep(&self) {
        self.condemned.store(false, Ordering::Relaxed);
    }

    /// Lets its directory be removed with its last user.
    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Ordering::Relaxed);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let (number, live) = (self.number, self.all.live.clone());
        if !self.condemned.load(Ordering::Relaxed) {
            lock(&live).remove(&number);
            return;
        }
        // The last user may be a reader on a network thread, which must not wait
        // for the disk. What is not removed here is removed at the next open.
        let path = self.all.layout.state(number);
        let removal = std::thread::Builder::new().name("remove-state".into()).spawn(move || {
            if let Err(error) = fsync::remove_dir(&path) {
                tracing::warn!(%error, "an old state stays on disk until the next start");
            }
            // Only now may its number be used again.
            lock(&live).remove(&number);
        });
        if let Err(error) = removal {
            tracing::warn!(%error, "an old state stays on disk until the next start");
        }
    }
}
