//! The Raft log and the hard state on disk.
//!
//! One sled database of its own, so that flushing the log never waits for the
//! state. Its records:
//!
//! ```text
//! b                  base: epoch, the entry before the first one
//! h                  hard state: term, vote
//! r ‖ first ‖ part   a run of entries: epoch, the entry before it, the entries
//! ```
//!
//! *One record per run*, not per entry: sled's cost is per record, and a call of
//! [`LogStore::write`] writes all that waited (group commit) as one run.
//! A run ends at 64 KiB; a single entry larger than that is a run of its own,
//! in several parts, so that no page of sled ever grows into a blob.
//!
//! # What is safe, and why
//!
//! sled is one log: after a crash it holds a *prefix of the operations*, each
//! whole. So nothing here needs a batch (which would stop the reads of every sled
//! database in the process); every operation is put in an order in which each prefix is a
//! log that this node may truthfully have:
//!
//! | operation | order | after a crash in between |
//! |---|---|---|
//! | append | hard state, then runs in order | a shorter log; nothing of it was acknowledged |
//! | truncate | runs above from the top down, then the straddling run rewritten, then the new ones | a shorter log, less only what is not committed (Raft §5.3) |
//! | reset | base with a *new epoch*, then old runs removed | runs of an older epoch are left-overs and are removed at open |
//! | compact | base, then runs below from the bottom up | runs below the base are left-overs |
//!
//! # Damage
//!
//! Each record carries its version, a CRC32C over its key and content, the
//! cluster, and a number that rises with every record; a run also the entry that
//! comes before it. So these are told apart:
//!
//! * *A torn tail*: parts of the last run are missing. Its write never ended,
//!   nobody was told of it. It is dropped, with a line in the node's log.
//! * *Damage*: anything else that does not fit: a checksum, a gap, a term that
//!   falls, a log newer than the hard state. It is named and nothing is changed.
//! * *A lost tail*: sled takes a damaged end of its file for a torn one and drops
//!   it silently, acknowledged or not. The witness (`witness.rs`) notices.

mod load;
mod record;
mod record_store;
mod run_log;
mod sled_records;
mod witness;

pub use record_store::{RecordStore, Visitor};
pub use run_log::RunLog;
pub(crate) use run_log::SEGMENT_BYTES;
pub use sled_records::SledRecords;

use crate::raft::{Entry, HardState, Persist};
use crate::storage::error::StorageError;
use crate::types::EntryId;

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
}

/// What a log held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredLog {
    /// Term and vote.
    pub hard_state: HardState,
    /// The entry before the first one; [`EntryId::ZERO`] in a new log.
    pub base: EntryId,
    /// All entries, without gaps.
    pub entries: Vec<Entry>,
}

impl RestoredLog {
    /// The id of the last entry, or the base if there is none.
    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }
}
