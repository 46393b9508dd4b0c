//! How much a request does, counted.
//!
//! Everything else waits while a command is applied, on every node. So a command may do only so much *work*,
//! and is refused when it would do more. What is counted is the same on all nodes: a command reads the present
//! alone, where it meets every key that is there and nothing else. What a node has not collected yet, caches or
//! fetches from its disk does not count.
//!
//! A read holds nobody up. It is not limited, but looks up now and then, and stops when its caller is gone.

use crate::kv::model::Refusal;
use crate::kv::read_error::ReadError;
use std::sync::atomic::{AtomicU64, Ordering};

/// A key that is looked at: the unit, about a tenth of a microsecond.
pub(crate) const KEY: u64 = 1;
/// A key that is removed, besides looking at it.
pub(crate) const REMOVAL: u64 = 5;
/// A key that is put.
pub(crate) const PUT: u64 = 16;
/// An operation or compare of a transaction, in whichever branch.
pub(crate) const OP: u64 = 16;
/// A value that is read, besides its bytes: it may come from the disk.
const VALUE: u64 = 64;
/// And so many bytes of a value that is read or written count as one more.
const BYTES: u64 = 128;

/// A read looks up after so much work: some tens of microseconds.
const LOOK_UP: u64 = 512;

/// A value of so many bytes that is read.
pub(crate) fn value(bytes: u32) -> u64 {
    VALUE + u64::from(bytes) / BYTES
}

/// A put of a value of so many bytes.
pub(crate) fn put(bytes: usize) -> u64 {
    PUT + bytes as u64 / BYTES
}

/// Whoever waits for a read, as the read sees it.
pub trait Caller {
    /// The read has done so much more work, in the units of a command's. False: it shall stop.
    fn still_waits(&self, work: u64) -> bool;
}

/// A caller with unlimited patience.
#[derive(Clone, Copy, Debug)]
pub struct Patient;

impl Caller for Patient {
    fn still_waits(&self, _: u64) -> bool {
        true
    }
}

/// Counts the work of one request, and stops it.
pub(crate) enum Meter<'a> {
    Command {
        limit: u64,
        left: u64,
        /// All work ever done by commands: shows the watchdog that this one moves on.
        total: &'a AtomicU64,
    },
    Read {
        caller: &'a dyn Caller,
        /// What the caller does not know of yet.
        unreported: u64,
    },
}

impl<'a> Meter<'a> {
    pub(crate) fn of_command(limit: u64, total: &'a AtomicU64) -> Self {
        Self::Command { limit, left: limit, total }
    }

    pub(crate) fn of_read(caller: &'a dyn Caller) -> Self {
        Self::Read { caller, unreported: 0 }
    }

    /// To be called before the work is done.
    pub(crate) fn spend(&mut self, work: u64) -> Result<(), ReadError> {
        match self {
            Self::Command { limit, left, total } => {
                *left = left.checked_sub(work).ok_or(Refusal::TooMuchWork { limit: *limit, actual: None })?;
                total.fetch_add(work, Ordering::Relaxed);
            }
            Self::Read { caller, unreported } => {
                *unreported += work;
                if *unreported >= LOOK_UP && !caller.still_waits(std::mem::take(unreported)) {
                    return Err(ReadError::Abandoned);
                }
            }
        }
        Ok(())
    }

    /// So many keys were looked at that the request does not see, because they are not there any more.
    pub(crate) fn spend_on_absent(&mut self, keys: u64) -> Result<(), ReadError> {
        match self {
            Self::Command { .. } => {
                debug_assert_eq!(keys, 0, "a command reads the present, where only what is there is met");
                Ok(())
            }
            Self::Read { .. } => self.spend(keys * KEY),
        }
    }
}
