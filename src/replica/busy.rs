//! How long a thread has been at one piece of work, which is mostly waiting for its disk: sled may hang forever
//! after an I/O error, and a hanging thread cannot report it itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Since when a thread has been doing one piece of work.
#[derive(Debug)]
pub(crate) struct Busy {
    start: Instant,
    /// Milliseconds after `start`, plus one; 0 while idle.
    since: AtomicU64,
    /// Counts the pieces of work, to distinguish them.
    begun: AtomicU64,
    /// Grows within a piece of work that computes, and stands still while it waits for the disk.
    computed: Arc<AtomicU64>,
}

impl Default for Busy {
    fn default() -> Self {
        let (since, begun) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { start: Instant::now(), since, begun, computed: Arc::default() }
    }
}

impl Busy {
    pub(crate) fn begin(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.since.store(millis + 1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// What has been computed, for whoever adds to it.
    pub(crate) fn computed(&self) -> &Arc<AtomicU64> {
        &self.computed
    }

    /// The number of the current piece of work, and what has been computed.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        Some((self.current()?, self.computed.load(Ordering::Relaxed)))
    }

    /// The number of the current piece of work.
    pub(crate) fn current(&self) -> Option<u64> {
        let is_busy = self.since.load(Ordering::Relaxed) != 0;
        is_busy.then(|| self.begun.load(Ordering::Relaxed))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }
}
