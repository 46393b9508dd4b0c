//! Locks that are held only to read or change a field.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nobody waits for long, and poisoning does not matter: no holder leaves anything half done.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
