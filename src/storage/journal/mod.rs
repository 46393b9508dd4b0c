//! The journal: where a write to the log becomes durable.
//!
//! sled's flush of a small write is several writes and waits, on several threads; one `pwrite` and one `fdatasync` into
//! a file whose blocks exist already is a fifth of the work and half of the time. So the log
//! writer writes here, and sled is filled from memory afterwards, by nobody's wait (see
//! [`log`](crate::storage::log)). Nothing reads the journal but a start.
//!
//! ```text
//! DIR/journal/segment-0, segment-1, …   preallocated, zeroed, synced once, used in turns
//! DIR/journal/witness                   how far the journal was durable
//!
//! segment = header │ record │ record │ …           each begins at a sector of 512 bytes
//! header  = generation, the first record's number, the chain so far, the directory's secret
//! record  = generation, number, how far an earlier sync had reached, the chain so far, bytes
//! group   = the jobs of a write, in one record, or cut into several where a segment ends
//! ```
//!
//! The files: bytes are pure functions (`sector.rs`, `record.rs`, `group.rs`); `writer.rs` appends, `recovery.rs`
//! reads and judges; `segments.rs` knows which segment is in use; `files.rs` is the seam to the file system,
//! under which the simulator puts its disk.
//!
//! # What is torn, and what is damaged
//!
//! Records are numbered without gaps and chained: each repeats the checksum of the one before it. The journal ends
//! where the chain does. A write that a crash interrupted may leave anything behind that end: it
//! is *torn*, was never acknowledged, and is dropped. But a record is written only when all before the group that it belongs to
//! are synced, and says so. So whatever else can be read, anywhere (a record
//! behind the end, the header of a later segment, the witness, the store's own word for how far it was filled), and
//! speaks of a synced record behind the end, proves that what once was durable is gone: that is *damage*,
//! and is named. Only for the last group there may be no such proof on the platter. For that there is the witness:
//! a note after each sync, itself not synced. A killed process leaves it exact, a power cut may
//! leave an older one, which claims less.
//!
//! # Orders and crashes
//!
//! | a crash while | leaves | which the next open |
//! |---|---|---|
//! | a segment is made | a file under a temporary name, or one more segment of zeros | overwrites the former, uses the latter |
//! | a record is written | any of its sectors | drops what does not read, and blots it out |
//! | a group is written that goes on in another segment | the part in the first, synced before the second is begun | drops the part, and goes on behind it |
//! | a segment is used again | the old header or the new one, and any sectors behind it | finds old records, which the store holds, under the old header; or none under the new one |
//! | records are read after a kill | them in the page cache only | has synced the files before it reads them, from the disk |
//!
//! *An old record is never taken for a new one*: it carries the generation of its segment's use, which rises with each
//! use, and the chain of its time. Checksums are salted by a secret of the directory, so that no
//! value that a client stores can pass for a record.
//!
//! *A segment is used again* only when the store would still hold all of its records after a power cut; who says so is
//! [`log`](crate::storage::log)'s storer.
//!
//! That a sector of 512 bytes is written as a whole or not at all is taken for granted; a header that cannot be read is damage.

mod disk_files;
mod files;
mod group;
mod judge;
mod record;
mod recovery;
mod sector;
mod segments;
mod settings;
mod witness;
mod writer;

pub use disk_files::DiskFiles;
pub use files::{JournalFiles, SegmentFile};
pub use recovery::{Recovered, recover};
pub(crate) use segments::Segments;
pub use segments::create;
pub use settings::JournalSettings;
pub(crate) use writer::Filled;
pub use writer::Journal;
