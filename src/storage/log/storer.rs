//! Moves what is not compacted in time from the journal into the store, in bounded steps, while nobody waits.

use crate::raft::{HardState, Mark};
use crate::storage::error::StorageError;
use crate::storage::journal::{Floor, Segments};
use crate::storage::log::backlog::Backlog;
use crate::storage::log::log_store::LogStorer;
use crate::storage::log::reader::Shared;
use crate::storage::log::record_store::RecordStore;
use crate::storage::log::run_log::RunLog;
use crate::types::{EntryId, Index};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// About the most bytes that one step takes over.
const STEP_BYTES: usize = 256 << 10;
/// The most runs below the base that one step removes.
const STEP_RUNS: usize = 64;

/// Used by the thread that fills the store, and by the journal's writer when it waits for room, one step at a time.
#[derive(Debug)]
pub(crate) struct Storer<R> {
    log: RunLog<R>,
    backlog: Arc<Backlog>,
    segments: Arc<Segments>,
    /// The store is synced after this many bytes.
    sync_bytes: u64,
    /// The record of the journal up to which the store is up to date.
    number: u64,
    /// Term and vote as of what was taken over or dropped.
    hard_state: HardState,
    /// The last write that it holds, and the last entry at that point.
    stored: (Mark, Index),
    /// How many bytes had been put at the last sync.
    synced_bytes: u64,
    /// For each recent sync: the last journal record in the store, and how many bytes had been put.
    syncs: VecDeque<(u64, u64)>,
    /// Whether there are runs below the base to remove.
    sweeps: bool,
}

impl<R: RecordStore> Storer<R> {
    /// For a store that was opened, and thereby synced, and holds the journal up to record `number`.
    pub(crate) fn new(
        log: RunLog<R>,
        backlog: Arc<Backlog>,
        segments: Arc<Segments>,
        sync_bytes: u64,
        (number, hard_state): (u64, HardState),
    ) -> Self {
        let syncs = VecDeque::from([(number, log.put_bytes())]);
        let stored = (Mark::RESTORED, Index(0));
        Self {
            log,
            backlog,
            segments,
            sync_bytes,
            number,
            hard_state,
            stored,
            synced_bytes: 0,
            syncs,
            sweeps: true,
        }
    }

    /// Does a bounded step. `None`: there was nothing to do.
    fn step(&mut self) -> Result<Option<(Mark, Index)>, StorageError> {
        let work = self.backlog.look();
        if let Some(through) = work.and_then(|work| work.compaction) {
            self.compact(through)?;
        }
        if work.is_some_and(|work| work.is_over) {
            self.take_over()?;
        }
        self.sweeps = self.sweeps && self.log.sweep(STEP_RUNS)? == STEP_RUNS;
        if self.log.put_bytes() - self.synced_bytes >= self.sync_bytes {
            self.sync()?;
        }
        if work.is_some_and(|work| work.is_urgent) {
            self.relieve()?;
        }
        Ok((work.is_some() || self.sweeps).then_some(self.stored))
    }

    /// What is compacted before the store got it never gets there, unless it replaces entries: then it is stored first, a
    /// step at a time.
    fn compact(&mut self, through: EntryId) -> Result<(), StorageError> {
        if self.backlog.replaces_entries(self.log.top()) {
            self.backlog.put_back(through);
            return self.take_over().map(drop);
        }
        self.log.compact(through)?;
        self.sweeps = true;
        if let Some(dropped) = self.backlog.drop_compacted(self.log.top(), through.index) {
            self.hard_state = dropped.hard_state.unwrap_or(self.hard_state);
            let floor = Floor { number: dropped.number, base: through, hard_state: self.hard_state };
            // Nothing of the log at that record is above the base, so the store is up to date without having seen it.
            self.log.skip_to(&floor)?;
            self.number = floor.number;
            self.segments.set_floor(floor);
        }
        Ok(())
    }

    /// Takes over what has waited longest. False: there is nothing.
    pub(crate) fn take_over(&mut self) -> Result<bool, StorageError> {
        let Some(group) = self.backlog.take(STEP_BYTES) else { return Ok(false) };
        self.log.take_over(&group)?;
        self.number = group.number;
        self.hard_state = group.hard_state().unwrap_or(self.hard_state);
        let mark = group.jobs.last().map_or(self.stored.0, |job| job.mark);
        self.stored = (mark, self.log.last().index);
        Ok(true)
    }

    /// Makes the store durable, and releases the journal's segments that are not needed any more.
    fn sync(&mut self) -> Result<(), StorageError> {
        self.log.sync()?;
        self.synced_bytes = self.log.put_bytes();
        self.syncs.push_back((self.number, self.synced_bytes));
        // Fact 10: a power cut may take the end of what was synced. What an earlier sync covered is safe once
        // enough of what was put after it is synced too.
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

    /// Does what a compaction allows, or takes over what has waited longest. False: nothing waits.
    fn advance(&mut self) -> Result<bool, StorageError> {
        match self.backlog.take_compaction() {
            Some(through) => self.compact(through).map(|()| true),
            None => self.take_over(),
        }
    }

    /// Makes sure that the journal has a segment to continue with: a new one, or one that is no longer needed because
    /// the store has what is in it, or one that padding the store makes superfluous. Does no more than that: a write may
    /// be waiting.
    pub(crate) fn relieve(&mut self) -> Result<(), StorageError> {
        if self.segments.grow()? {
            return Ok(());
        }
        while self.segments.are_short() && self.advance()? {
            if self.log.put_bytes() - self.synced_bytes >= self.sync_bytes {
                self.sync()?;
            }
        }
        if self.segments.are_short() {
            self.sync()?;
        }
        if self.segments.are_short() {
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
    pub(crate) segments: Arc<Segments>,
    pub(crate) store: Arc<Shared<R>>,
}

impl<R: RecordStore> LogStorer for StorerHandle<R> {
    fn wait(&self) -> bool {
        self.backlog.wait()
    }

    fn step(&mut self) -> Result<Option<(Mark, Index)>, StorageError> {
        lock(&self.storer).step()
    }

    /// Without the storer's lock, for which the journal's writer may be waiting.
    fn size_on_disk(&self) -> Result<u64, StorageError> {
        Ok(self.store.records.size_on_disk()? + self.segments.bytes())
    }
}

pub(crate) fn lock<R>(storer: &Mutex<Storer<R>>) -> MutexGuard<'_, Storer<R>> {
    storer.lock().unwrap_or_else(PoisonError::into_inner)
}
