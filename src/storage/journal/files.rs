//! What the journal needs of a file system: the interface that the simulator's disk implements.

use crate::storage::error::StorageError;
use std::path::Path;

/// The journal's directory. The first error is final.
pub trait JournalFiles: Send + Sync {
    /// The numbers of the existing segments.
    fn list(&self) -> Result<Vec<u32>, StorageError>;

    /// Writes a file of this many zeros under a temporary name, replacing one that a crash may have left, and syncs it.
    fn draft(&self, bytes: usize) -> Result<(), StorageError>;

    /// Renames the draft to a segment.
    fn publish(&self, number: u32) -> Result<(), StorageError>;

    /// Turns the last segment, which is blank, into a draft and back. Only that makes a name durable that is seen though
    /// an fsync of the directory failed to write it; a crash in between leaves one blank segment less.
    fn rename_anew(&self, number: u32) -> Result<(), StorageError>;

    /// Makes the names durable.
    fn sync_names(&self) -> Result<(), StorageError>;

    /// Removes the draft; failures are ignored.
    fn discard_draft(&self);

    /// Opens a segment and reads it from the *device*, whatever a failed sync left in the page cache.
    fn open(&self, number: u32) -> Result<(Box<dyn SegmentFile>, Vec<u8>), StorageError>;

    /// Notes how far the journal is durable. The note itself may be lost in a power cut, but never claims too much.
    fn note(&self, number: u64) -> Result<(), StorageError>;

    /// The note as read when the directory was opened; 0 if it is unknown.
    fn noted(&self) -> u64;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// A segment's file, whose length never changes.
pub trait SegmentFile: Send {
    /// Writes within the file's length.
    fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), StorageError>;

    /// Returns when everything written before is on stable storage.
    fn sync(&self) -> Result<(), StorageError>;
}
