//! The journal: where a write to the log becomes durable.
//!
//! sled's flush of a small write takes several writes and waits, on several threads; one `pwrite` and one
//! `fdatasync` into a file whose blocks exist already take a fifth of the work and half of the time. So the
//! log writer writes here, and sled gets from memory what must be kept for long, while nobody waits (see
//! [`log`](crate::storage::log)). The journal is read only at a start.
//!
//! ```text
//! DIR/journal/segment-0, segment-1, …   preallocated, zeroed, synced once, used in turns
//! DIR/journal/witness                   how far the journal was durable
//!
//! segment = header │ record │ record │ …           each begins at a sector of 512 bytes
//! header  = generation, the first record's number, the chain so far, the directory's secret, the floor
//! record  = generation, number, how far an earlier sync had reached, the chain so far, bytes
//! group   = the jobs of a write, in one record, or cut into several where a segment ends
//! ```
//!
//! The files: the encodings are pure functions (`sector.rs`, `record.rs`, `group.rs`), and so is telling torn
//! from damaged (`judge.rs`); `writer.rs` appends, `recovery.rs` reads; `segments.rs` knows which segments
//! are in use, `floor.rs` which records are not needed; `files.rs` is the interface to the file system, which the simulator's disk implements.
//!
//! # What is torn, and what is damaged
//!
//! Records are numbered without gaps and chained: each repeats the checksum of the one before it. The journal
//! ends where the chain does. A write that a crash interrupted may leave anything after that end: it is
//! *torn*, was never acknowledged, and is dropped. But a record is written only when everything before its
//! group is synced, and it says so. So anything that can be read, anywhere (a record after the end, the
//! header of a later segment, the witness, the store's own mark of how far it was filled), and that names a
//! synced record after the end, proves that something durable is gone: that is *damage*, and is named. Only
//! for the last group there may be no such proof on the disk. For that there is the witness: a note after
//! each sync, itself not synced. A killed process leaves it exact; a power cut may leave an older one, which
//! claims less.
//!
//! # Orders and crashes
//!
//! | a crash while | leaves | which the next open |
//! |---|---|---|
//! | a segment is made | a file under a temporary name, or one more segment of zeros | overwrites the former, uses the latter |
//! | a record is written | any of its sectors | drops what does not read, and blots it out |
//! | a group is written that goes on in another segment | the part in the first, synced before the second is begun | drops the part, and goes on behind it |
//! | a segment is used again | the old header or the new one, and any sectors behind it | finds old records, which the store holds or nobody needs, under the old header; or none under the new one |
//! | records are read after a kill | them in the page cache only | has synced the files before it reads them, from the disk |
//!
//! *An old record is never taken for a new one*: it carries the generation of its segment's use, which
//! increases with each use, and the checksum of its own predecessor. Checksums are salted with a secret of the
//! directory, so that no value that a client stores can pass for a record.
//!
//! *A segment is used again* only when the store would still hold all of its records after a power cut, or a durable
//! header names a *floor* above them: nobody needs what is below it, and a start begins there. The storer in
//! [`log`](crate::storage::log) decides both.
//!
//! A sector of 512 bytes is assumed to be written as a whole or not at all; a header that cannot be read is damage.

mod disk_files;
mod files;
mod floor;
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
pub(crate) use floor::Floor;
pub(crate) use recovery::read;
pub(crate) use segments::Segments;
pub use segments::create;
pub use settings::JournalSettings;
pub(crate) use writer::Filled;
pub use writer::Journal;
