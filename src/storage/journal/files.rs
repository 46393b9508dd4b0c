//! What the journal needs of a file system: the seam under which the simulator puts its disk.

use crate::storage::error::StorageError;
use std::path::Path;

/// The journal's directory. The first error is final for whoever meets it.
pub trait JournalFiles: Send + Sync {
    /// The numbers of the segments that are there.
    fn list(&self) -> Result<Vec<u32>, StorageError>;

    /// Writes a file of so many zeros under a temporary name, in the place of one that a crash left, and syncs it.
    fn draft(&self, bytes: usize) -> Result<(), StorageError>;

    /// Gives the draft the name of a segment.
    fn publish(&self, number: u32) -> Result<(), StorageError>;

    /// Makes the names durable.
    fn sync_names(&self) -> Result<(), StorageError>;

    /// Removes the draft, as far as it goes.
    fn discard_draft(&self);

    /// Opens a segment and reads what the *device* holds of it, whatever a failed sync left in the cache.
    fn open(&self, number: u32) -> Result<(Box<dyn SegmentFile>, Vec<u8>), StorageError>;

    /// Notes how far the journal is durable. The note itself may be lost in a power cut, but never tells too much.
    fn note(&self, number: u64) -> Result<(), StorageError>;

    /// What was noted when the directory was opened; 0 if that is not known.
    fn noted(&self) -> u64;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// A segment's file, whose length never changes.
pub trait SegmentFile: Send {
    /// Writes within its length.
    fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), StorageError>;

    /// Returns when all that was written before is on stable storage.
    fn sync(&self) -> Result<(), StorageError>;
}
