//! What lies on a connection, as far as the node knows.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What lies on a connection and what was taken from it, in bytes.
#[derive(Debug, Default)]
pub struct Unread {
    lying: AtomicUsize,
    /// Wraps around.
    written: AtomicUsize,
}

impl Unread {
    /// More lies there.
    pub fn add(&self, bytes: usize) {
        self.lying.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It is gone.
    pub fn sub(&self, bytes: usize) {
        self.lying.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How much lies there.
    pub fn lying(&self) -> usize {
        self.lying.load(Ordering::Relaxed)
    }

    /// So much was written to the socket.
    pub fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How much was written, as far as it matters how much more it is than it was.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }
}
