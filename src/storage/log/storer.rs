//! Moves the log from the journal into the store, in bounded steps and by nobody's wait.

use crate::raft::Mark;
use crate::storage::error::StorageError;
use crate::storage::journal::Segments;
use crate::storage::log::LogStorer;
use crate::storage::log::backlog::{Backlog, Item};
use crate::storage::log::record_store::RecordStore;
use crate::storage::log::run_log::RunLog;
use crate::types::Index;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one step takes over at most, about.
const STEP_BYTES: usize = 256 << 10;
/// How many runs below the base one step removes.
const STEP_RUNS: usize = 64;

/// See the module. The thread that fills the store, and the journal's writer if it must wait for room, each for a step.
#[derive(Debug)]
pub(crate) struct Storer<R> {
    log: RunLog<R>,
    backlog: Arc<Backlog>,
    segments: Arc<Segments>,
    /// The store is synced after so many bytes.
    sync_bytes: u64,
    /// The last record of the journal that the store holds.
    number: u64,
    /// The last write that it holds, and the last entry then.
    stored: (Mark, Index),
    /// The bytes that had been put at the last sync.
    synced_bytes: u64,
    /// For each sync of late: what the store held, and the bytes that had been put.
    syncs: VecDeque<(u64, u64)>,
    /// Runs below the base are left.
    sweeps: bool,
}

impl<R: RecordStore> Storer<R> {
    /// Over a store that was opened, and so synced, with the journal's record `number` in it.
    pub(crate) fn new(
        log: RunLog<R>,
        backlog: Arc<Backlog>,
        segments: Arc<Segments>,
        sync_bytes: u64,
        number: u64,
    ) -> Self {
        let syncs = VecDeque::from([(number, log.put_bytes())]);
        let stored = (Mark::RESTORED, Index(0));
        Self { log, backlog, segments, sync_bytes, number, stored, synced_bytes: 0, syncs, sweeps: true }
    }

    /// Does a little of what there is to do. None: nothing is.
    fn step(&mut self) -> Result<Option<(Mark, Index)>, StorageError> {
        let (is_due, is_urgent) = self.backlog.look();
        if is_due {
            self.take_over()?;
        }
        self.sweeps = self.sweeps && self.log.sweep(STEP_RUNS)? == STEP_RUNS;
        if self.log.put_bytes() - self.synced_bytes >= self.sync_bytes {
            self.sync()?;
        }
        if is_urgent {
            self.relieve()?;
        }
        Ok((is_due || self.sweeps).then_some(self.stored))
    }

    /// Takes over what comes next. False: there is nothing.
    fn take_over(&mut self) -> Result<bool, StorageError> {
        match self.backlog.take(STEP_BYTES) {
            Some(Item::Group(number, jobs)) => {
                self.log.take_over(&jobs, number)?;
                self.number = number;
                let mark = jobs.last().map_or(self.stored.0, |job| job.mark);
                self.stored = (mark, self.log.last().index);
                Ok(true)
            }
            Some(Item::Compact(through)) => {
                self.log.compact(through)?;
                self.sweeps = true;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Makes the store durable, and gives back the journal's segments that it has made needless.
    fn sync(&mut self) -> Result<(), StorageError> {
        self.log.sync()?;
        self.synced_bytes = self.log.put_bytes();
        self.syncs.push_back((self.number, self.synced_bytes));
        // Fact 10: a power cut may take the end of what was synced. What an earlier sync covered is safe
        // once enough that was put after it is synced too.
        let safe = self.synced_bytes.saturating_sub(self.log.window());
        let mut through = None;
        while let Some((number, _)) = self.syncs.pop_front_if(|(_, bytes)| *bytes <= safe) {
            through = Some(number);
        }
        if let Some(number) = through {
            self.segments.release(number);
        }
        Ok(())
    }

    /// Sees to it that the journal has a segment to go on with: one that is needless now, or a new one, or one that
    /// padding of the store makes needless.
    pub(crate) fn relieve(&mut self) -> Result<(), StorageError> {
        while self.take_over()? {}
        self.sync()?;
        if !self.segments.grow()? {
            self.log.pad(self.log.window())?;
            self.sync()?;
        }
        Ok(())
    }
}

/// The storer, for its thread.
#[derive(Debug)]
pub(crate) struct StorerHandle<R> {
    pub(crate) storer: Arc<Mutex<Storer<R>>>,
    pub(crate) backlog: Arc<Backlog>,
}

impl<R: RecordStore> LogStorer for StorerHandle<R> {
    fn wait(&self) -> bool {
        self.backlog.wait()
    }

    fn step(&mut self) -> Result<Option<(Mark, Index)>, StorageError> {
        lock(&self.storer).step()
    }
}

pub(crate) fn lock<R>(storer: &Mutex<Storer<R>>) -> MutexGuard<'_, Storer<R>> {
    storer.lock().unwrap_or_else(PoisonError::into_inner)
}
