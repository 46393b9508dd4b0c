//! The Raft log and the hard state on disk: a journal in front, a store behind it.
//!
//! ```text
//! write ─▶ journal: one pwrite, one fdatasync ─▶ done, durable
//!              │ the same entries, in memory (the backlog)
//!              ├─▶ compacted in time: dropped, the journal says so in its next segment's header
//!              ▼ else
//!          storer: large runs, now and then a sync ─▶ store ─▶ readers
//! ```
//!
//! [`LogStore::write`] returns when the write is in the [journal](crate::storage::journal). Usually that is all: the
//! journal has room for more of the log than is kept, so most of it is compacted before it would have to be moved. What
//! is kept for longer (for a follower that lags, or because the state is behind) the *storer* (its own thread, or a step
//! of the simulator) moves from memory into the store, the oldest first. At a start the log is what the store holds,
//! followed above its mark by what the journal holds; or, if the journal's *floor* (what it says was compacted) is
//! above the mark, only what the journal holds above that.
//!
//! # The store
//!
//! A separate sled database, so that flushing the log never waits for the state. Its records:
//!
//! ```text
//! b                  base: epoch, the entry before the first one
//! h                  hard state: term, vote
//! j                  mark: the journal's record up to which everything is here, the last entry then
//! r ‖ first ‖ part   a run of entries: epoch, the entry before it, the entries
//! p                  padding, temporarily
//! ```
//!
//! *One record per run*, not per entry: sled's cost is per record. A run ends at 4 KiB; a single larger entry
//! is its own run, in several parts, so that no page of sled ever grows into a blob.
//!
//! # What is safe, and why
//!
//! sled is one log: after a crash it holds a *prefix of the operations*, each whole. So nothing here needs a
//! batch (which would stop the reads of every sled database in the process). The mark is put after everything
//! that it vouches for; whatever a crash leaves after the last mark is also in the journal, which takes
//! precedence. So each prefix, with the journal on top, is the log that was written:
//!
//! | operation | order in the store | after a crash in between | and the journal |
//! |---|---|---|---|
//! | append | hard state, runs in order, the mark | runs that the mark does not cover | holds the same entries |
//! | truncate | runs above from the top down, the straddling run rewritten, the new ones, the mark | a shorter log, or part of a run at its end, which is dropped | begins at or below the first missing entry |
//! | reset | base with a *new epoch*, old runs removed, the new ones, the mark | runs of an older epoch, which are removed at open | holds the reset: the store's entries do not count |
//! | compact | base, then runs below from the bottom up, some per step | runs below the base, which are removed at open | needs nothing: entries below the base are skipped |
//! | compact above the store's end | base, hard state, the mark; the groups are dropped | a base above the mark | has a floor in the next header; until that is durable it still holds the groups |
//! | replay | as above; groups that a crash has left in the journal count as *one* | as above | is still there |
//!
//! *A group that replaces entries* of the store, or of another group that waits, is always stored: only so is a dropped
//! group one that the store lacks nothing of but entries at or below the base.
//!
//! *A segment of the journal is released* in one of two ways. All of it is below a floor, and a header that says so is
//! durable: then nothing in the store counts, whatever was synced of it and whatever a power cut brings back, since at
//! the floor the log ended at or below the base. Or the store was synced with all of it, and enough more has been put and synced since: a power cut
//! may take the last two segments of what sled has synced (fact 10 in [`storage`](crate::storage)). If the journal runs
//! short of segments and there is nothing else to put, the storer puts padding.
//!
//! *The journal is full* when it has as many segments as it may: then the store takes over what is oldest, and if it
//! cannot keep up, the writer does the storer's next steps itself before it continues. So the backlog in memory is
//! bounded by the journal, 64 MiB, and writes wait, under the watchdog.
//!
//! # Damage
//!
//! Each record of the store carries its version, a CRC32C over its key and content, and the directory; a run
//! also the entry that comes before it. A wrong checksum, a gap, a falling term, a log newer than the hard
//! state: each is named, and nothing is changed. sled takes a damaged end of its file for a torn one and
//! drops it silently; then the mark falls back, and the journal does not reach down to it, or the two do not
//! join, unless a floor is above the mark: then nothing of the store is needed.

mod backlog;
mod journaled_log;
mod load;
mod log_store;
mod overlay;
mod reader;
pub(crate) mod record;
mod record_store;
mod run_log;
mod sled_records;
mod storer;

pub use journaled_log::{create, open};
pub use log_store::{LogSettings, LogStore, LogStorer, OpenLog, RestoredLog};
pub use reader::LogReader;
pub use record_store::{RecordStore, Visitor};
pub(crate) use run_log::SEGMENT_BYTES;
pub use sled_records::SledRecords;
