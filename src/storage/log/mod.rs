//! The Raft log and the hard state on disk: a journal in front, a store behind it.
//!
//! ```text
//! write ─▶ journal: one pwrite, one fdatasync ─▶ done, durable
//!              │ the same entries, in memory (the backlog)
//!              ▼
//!          storer: large runs, now and then a sync ─▶ store ─▶ readers
//! ```
//!
//! [`LogStore::write`] returns when the [journal](crate::storage::journal) has it. The *storer* (a thread of its
//! own, or a step of the simulator) moves it into the store from memory, and gives the journal's segments back. At a
//! start the log is what the store holds, and above its mark what the journal holds.
//!
//! # The store
//!
//! One sled database of its own, so that flushing the log never waits for the state. Its records:
//!
//! ```text
//! b                  base: epoch, the entry before the first one
//! h                  hard state: term, vote
//! j                  mark: the journal's record up to which all is here, the last entry then
//! r ‖ first ‖ part   a run of entries: epoch, the entry before it, the entries
//! p                  padding, for a moment
//! ```
//!
//! *One record per run*, not per entry: sled's cost is per record. A run ends at 4 KiB; a single entry larger than that is
//! a run of its own, in several parts, so that no page of sled ever grows into a blob.
//!
//! # What is safe, and why
//!
//! sled is one log: after a crash it holds a *prefix of the operations*, each
//! whole. So nothing here needs a batch (which would stop the reads of every sled
//! database in the process). The mark is put after all that it vouches for; what a crash leaves behind the last mark is in the
//! journal, and replaces what the store has of it. So each prefix, with the journal over it, is the log that was written:
//!
//! | operation | order in the store | after a crash in between | and the journal |
//! |---|---|---|---|
//! | append | hard state, runs in order, the mark | runs that the mark does not know of | holds them: the same entries once more |
//! | truncate | runs above from the top down, the straddling run rewritten, the new ones, the mark | a shorter log, or part of a run at its end, which is dropped | begins no higher than the first entry that is gone |
//! | reset | base with a *new epoch*, old runs removed, the new ones, the mark | runs of an older epoch, which are removed at open | holds the reset: nothing of the store's entries counts |
//! | compact | base, then runs below from the bottom up, some per step | runs below the base, which are removed at open | needs nothing: entries below the base are skipped |
//! | replay | as above; groups that a crash has left in the journal count as *one* | as above | is still there |
//!
//! *A segment of the journal is given back* when the store was synced with all of it, and enough else has been put and synced
//! since: of what sled has synced, a power cut may take the last two segments along (fact 10 in
//! [`storage`](crate::storage)). If the journal runs short and there is nothing else to put, padding is.
//!
//! *The journal is full* when the store cannot keep up: then the writer does the storer's next steps itself before it goes on.
//! So the backlog in memory is bounded by the journal, 16 MiB, and writes wait, with the watchdog at their side.
//!
//! # Damage
//!
//! Each record of the store carries its version, a CRC32C over its key and content, and the cluster; a run also the entry that
//! comes before it. A checksum, a gap, a term that falls, a log newer than the hard state: it is named and nothing is
//! changed. sled takes a damaged end of its file for a torn one and drops it silently; then the mark falls back, and
//! the journal does not reach down to it, or the log does not join.

mod backlog;
mod journaled_log;
mod load;
mod overlay;
mod reader;
pub(crate) mod record;
mod record_store;
mod run_log;
mod sled_records;
mod storer;

pub use journaled_log::{create, open};
pub use reader::LogReader;
pub use record_store::{RecordStore, Visitor};
pub(crate) use run_log::SEGMENT_BYTES;
pub use sled_records::SledRecords;

use crate::raft::{Entry, HardState, Mark, Persist};
use crate::storage::error::StorageError;
use crate::storage::journal::JournalSettings;
use crate::types::{EntryId, Index};
use std::sync::Arc;

/// Where a replica keeps its log: the seam for another engine.
///
/// One thread owns it. Every error is final: the store only repeats it.
pub trait LogStore: Send {
    /// Writes the jobs in order and returns when all of them are on stable storage.
    fn write(&mut self, jobs: &[Persist]) -> Result<(), StorageError>;

    /// Forgets the entries up to and including `through`, which must be in the
    /// log and becomes its base. Need not be durable when it returns, since nothing
    /// depends on it, but a crash leaves the log either way whole.
    ///
    /// The state that covers these entries must be durable before.
    fn compact(&mut self, through: EntryId) -> Result<(), StorageError>;

    /// Bytes on disk, about.
    fn size_on_disk(&self) -> Result<u64, StorageError>;

    /// For those who read the log beside the one that writes it.
    fn reader(&self) -> Arc<dyn LogReader>;
}

/// The other half of a [`LogStore`]: what moves the log to where it can be read. Another thread owns it.
pub trait LogStorer: Send {
    /// Waits until there is something to do. False: the [`LogStore`] is gone.
    fn wait(&self) -> bool;

    /// Does a little of it, and answers what can be read now: all writes before this one, and of it the entries up to an
    /// index. `None` if there was nothing to do.
    fn step(&mut self) -> Result<Option<(Mark, Index)>, StorageError>;
}

/// An open log.
pub struct OpenLog {
    /// For the thread that writes it.
    pub log: Box<dyn LogStore>,
    /// For the thread that moves it into the store.
    pub storer: Box<dyn LogStorer>,
    /// What it held.
    pub restored: RestoredLog,
}

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The journal.
    pub journal: JournalSettings,
    /// The store takes over from so many bytes on.
    pub due_bytes: usize,
    /// The store is synced after so many bytes.
    pub sync_bytes: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { journal: JournalSettings::default(), due_bytes: 256 << 10, sync_bytes: 1 << 20 }
    }
}

/// What a log held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredLog {
    /// Term and vote.
    pub hard_state: HardState,
    /// The entry before the first one of the log; [`EntryId::ZERO`] in a new log.
    pub base: EntryId,
    /// The entry before the first one that was loaded. What lies between can be [read](LogReader).
    pub tail_base: EntryId,
    /// The rest of the log, without gaps.
    pub entries: Vec<Entry>,
    /// Entries up to here can be read from the store already. The others will be reported as stored, as a write with
    /// [`Mark::RESTORED`].
    pub stored: Index,
}

impl RestoredLog {
    /// The id of the last entry, or what the log begins behind.
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.tail_base, |entry| entry.id)
    }
}
