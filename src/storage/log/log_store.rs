//! Where a replica keeps its log: the interface to a storage engine, in two halves for two threads.

use crate::raft::{Entry, HardState, Mark, Persist};
use crate::storage::error::StorageError;
use crate::storage::journal::JournalSettings;
use crate::storage::log::reader::LogReader;
use crate::types::{EntryId, Index};
use std::sync::Arc;

/// Where a replica keeps its log: the interface to a storage engine.
///
/// One thread owns it. Every error is final: the store only repeats it.
pub trait LogStore: Send {
    /// Writes the jobs in order and returns when all of them are on stable storage.
    fn write(&mut self, jobs: &[Persist]) -> Result<(), StorageError>;

    /// Forgets the entries up to and including `through`, which must be in the log and becomes its base. It
    /// need not be durable when this returns, since nothing depends on it, but a crash must leave the log
    /// whole either way.
    ///
    /// The state that covers these entries must already be durable.
    fn compact(&mut self, through: EntryId) -> Result<(), StorageError>;

    /// For reading the log concurrently with its writer.
    fn reader(&self) -> Arc<dyn LogReader>;
}

/// The other half of a [`LogStore`]: moves the log to where it can be read. Another thread owns it.
pub trait LogStorer: Send {
    /// Waits until there is something to do. False: the [`LogStore`] is gone.
    fn wait(&self) -> bool;

    /// Does a bounded step, and returns what can be read now: all writes before this one, and its entries up
    /// to an index. `None` if there was nothing to do.
    fn step(&mut self) -> Result<Option<(Mark, Index)>, StorageError>;

    /// Bytes on disk of the whole log, about. Lists a directory.
    fn size_on_disk(&self) -> Result<u64, StorageError>;
}

pub struct OpenLog {
    /// For the thread that writes the log.
    pub log: Box<dyn LogStore>,
    /// For the thread that moves it into the store.
    pub storer: Box<dyn LogStorer>,
    pub restored: RestoredLog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub journal: JournalSettings,
    /// The store takes over what has waited longest once more than this waits for compaction, which would make that
    /// superfluous. A little more than the log that is kept by default, and less than the journal has room for.
    pub backlog_bytes: usize,
    /// The store is synced after this many bytes at the latest, so that the journal can release segments.
    /// [`SledRecords`](crate::storage::log::SledRecords) sync themselves more often, for a reason of sled's.
    pub sync_bytes: u64,
    /// About how many bytes of the newest entries are loaded at a start.
    pub tail_bytes: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            journal: JournalSettings::default(),
            backlog_bytes: 36 << 20,
            sync_bytes: 1 << 20,
            tail_bytes: 16 << 20,
        }
    }
}

/// The content of a log when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredLog {
    /// Term and vote.
    pub hard_state: HardState,
    /// The entry before the first one of the log; [`EntryId::ZERO`] in a new log.
    pub base: EntryId,
    /// The entry before the first one that was loaded. What lies between the two can be [read](LogReader).
    pub tail_base: EntryId,
    /// The rest of the log, without gaps.
    pub entries: Vec<Entry>,
    /// Entries up to here can be read from the store already. The others will be reported as stored later, as
    /// a write with [`Mark::RESTORED`].
    pub stored: Index,
}

impl RestoredLog {
    /// The id of the last entry, or of the one before the log's beginning.
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.tail_base, |entry| entry.id)
    }
}
