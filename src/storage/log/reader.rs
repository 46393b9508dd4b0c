//! Reading the log from the store, concurrently with the thread that fills it.

use crate::raft::{Entry, LogSlice};
use crate::storage::error::StorageError;
use crate::storage::log::load::{self, Extent};
use crate::storage::log::record::{Base, Run};
use crate::storage::log::record_store::RecordStore;
use crate::types::{DirectoryId, EntryId, Index};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Reads the part of the log that the store holds. It may lag behind what is durable, and is valid up to the
/// index that was last reported as stored and below what is still in memory: above, it may hold entries that
/// were replaced since.
pub trait LogReader: Send + Sync {
    /// Entries from `from` on, of about this many bytes, at least one. `None`: the store does not have that
    /// entry (any more).
    fn read(&self, from: Index, bytes_max: usize) -> Result<Option<LogSlice>, StorageError>;
}

/// What the store's writer and its readers share.
pub(crate) struct Shared<R> {
    pub records: R,
    pub directory: DirectoryId,
    index: RwLock<RunIndex>,
}

/// Which runs there are. Changed just before runs are removed, and just after they are put.
pub(crate) struct RunIndex {
    pub base: Base,
    pub runs: BTreeMap<Index, Extent>,
}

impl RunIndex {
    /// Starts over after an entry. Returns the previous runs.
    pub(crate) fn reset(&mut self, base: Base) -> BTreeMap<Index, Extent> {
        self.base = base;
        std::mem::take(&mut self.runs)
    }

    pub(crate) fn last(&self) -> EntryId {
        let top = self.runs.last_key_value().map_or(self.base.id, |(_, extent)| extent.last);
        // Runs below the base have yet to be removed.
        if top.index < self.base.id.index { self.base.id } else { top }
    }

    pub(crate) fn run_at(&self, at: Index) -> Option<(Index, Extent)> {
        let (first, extent) = self.runs.range(..=at).next_back()?;
        (at <= extent.last.index).then_some((*first, *extent))
    }

    pub(crate) fn first_below_base(&self) -> Option<Index> {
        let (first, extent) = self.runs.first_key_value()?;
        (extent.last.index <= self.base.id.index).then_some(*first)
    }
}

impl<R: RecordStore> Shared<R> {
    pub(crate) fn new(records: R, directory: DirectoryId, base: Base, runs: BTreeMap<Index, Extent>) -> Self {
        Self { records, directory, index: RwLock::new(RunIndex { base, runs }) }
    }

    /// The lock is never held during calls to the engine.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, RunIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, RunIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run that an index is in, if it is in the log.
    fn find(&self, at: Index) -> Option<(Index, Extent)> {
        let index = self.index();
        if at <= index.base.id.index { None } else { index.run_at(at) }
    }

    /// `None`: there is none, or it was removed or replaced while it was read.
    fn read_run(&self, at: Index) -> Result<Option<Run>, StorageError> {
        let Some((first, extent)) = self.find(at) else { return Ok(None) };
        let run = load::read_run(&self.records, self.directory, first, extent.parts);
        if self.find(at) != Some((first, extent)) {
            return Ok(None);
        }
        run.map(Some)
    }
}

impl<R: RecordStore> LogReader for Shared<R> {
    fn read(&self, from: Index, bytes_max: usize) -> Result<Option<LogSlice>, StorageError> {
        let Some(run) = self.read_run(from)? else { return Ok(None) };
        let Some(mut slice) = slice_from(run, from) else { return Ok(None) };
        let mut bytes: usize = slice.entries.iter().map(Entry::size).sum();
        while bytes < bytes_max {
            let Some(last) = slice.entries.last().map(|entry| entry.id) else { break };
            let Some(run) = self.read_run(last.index.next())? else { break };
            if run.previous != last {
                break;
            }
            bytes += run.entries.iter().map(Entry::size).sum::<usize>();
            slice.entries.extend(run.entries);
        }
        let fitting = Entry::fitting(&slice.entries, bytes_max);
        slice.entries.truncate(fitting.max(1));
        Ok(Some(slice))
    }
}

/// The part of a run from an index on.
fn slice_from(run: Run, from: Index) -> Option<LogSlice> {
    let mut entries = run.entries;
    let rest = entries.split_off(entries.partition_point(|entry| entry.id.index < from));
    let prev = entries.last().map_or(run.previous, |entry| entry.id);
    (!rest.is_empty()).then_some(LogSlice { prev, entries: rest })
}

impl<R> fmt::Debug for Shared<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("directory", &self.directory).finish_non_exhaustive()
    }
}
