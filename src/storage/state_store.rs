//! Where a replica keeps its state, and how a received one takes its place:
//! the seam for another engine.

use crate::machine::Table;
use crate::storage::error::{StageError, StorageError};
use crate::storage::snapshot::SnapshotHeader;
use crate::types::EntryId;
use std::fmt::Debug;
use std::sync::Arc;

/// The state in use. Two true implementations: sled, and the simulator's disk.
pub trait StateStore: Debug + Send + Sync + 'static {
    /// Its records. A reader that holds them keeps them, replaced or not.
    fn table(&self) -> Arc<dyn Table>;

    /// The last entry of the snapshot that the state in use was made from, if it
    /// was, as found when the store was opened. Only such a state may be ahead of the log.
    fn installed(&self) -> Option<EntryId>;

    /// The room left on the disk, in bytes.
    fn free_bytes(&self) -> Result<u64, StorageError>;

    /// Begins to take in a snapshot, beside the state in use. Removes what
    /// earlier attempts have left.
    fn stage(&self) -> Result<Box<dyn StagedState>, StorageError>;
}

/// A snapshot on its way in. Dropping it discards what has come.
pub trait StagedState: Debug + Send {
    /// Takes the next bytes of the file, in whatever pieces they come. After an
    /// error only dropping is of use.
    fn push(&mut self, bytes: &[u8]) -> Result<(), StageError>;

    /// Verifies the whole, and makes it durable.
    fn finish(self: Box<Self>) -> Result<Box<dyn VerifiedState>, StageError>;
}

/// A snapshot that is whole and durable, but not in use. Dropping it discards it.
pub trait VerifiedState: Debug + Send {
    /// What it covers.
    fn header(&self) -> &SnapshotHeader;

    /// Its records, to be looked at before it is put in place.
    fn table(&self) -> Arc<dyn Table>;

    /// Puts it in the place of the state in use. When it returns, that is
    /// durable; after a crash before, either the old or the new state is there, whole.
    fn activate(self: Box<Self>) -> Result<(), StorageError>;
}
