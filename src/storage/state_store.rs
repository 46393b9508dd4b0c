//! Where a replica keeps its state, and how a received state replaces it: the interface to a storage engine.

use crate::machine::Table;
use crate::storage::error::{StageError, StorageError};
use crate::storage::snapshot::SnapshotHeader;
use crate::types::EntryId;
use std::fmt::Debug;
use std::sync::Arc;

/// The state in use. Two implementations: sled, and the simulator's disk.
pub trait StateStore: Debug + Send + Sync + 'static {
    /// Its records. They stay readable while anybody holds the table, even after the state was replaced.
    fn table(&self) -> Arc<dyn Table>;

    /// The last entry of the snapshot that the state in use was made from, if any, as found when the store
    /// was opened. Only such a state may be ahead of the log.
    fn installed(&self) -> Option<EntryId>;

    /// The room left on the disk, in bytes.
    fn free_bytes(&self) -> Result<u64, StorageError>;

    /// Starts to store a snapshot, beside the state in use. Removes what earlier attempts left.
    fn stage(&self) -> Result<Box<dyn StagedState>, StorageError>;

    /// Does a small step of giving back disk space, if the state takes far more than its records, of which there are
    /// `live` bytes. It may take `spare` bytes of the disk meanwhile. Answers whether there is more to do.
    fn vacuum(&self, live: u64, spare: u64) -> Result<bool, StorageError>;
}

/// A snapshot being received. Dropping it discards it.
pub trait StagedState: Debug + Send {
    /// Takes the next bytes of the file, in whatever pieces they come. After an error it can only be dropped.
    fn push(&mut self, bytes: &[u8]) -> Result<(), StageError>;

    /// Verifies the whole snapshot, and makes it durable.
    fn finish(self: Box<Self>) -> Result<Box<dyn VerifiedState>, StageError>;
}

/// A snapshot that is whole and durable, but not in use. Dropping it discards it.
pub trait VerifiedState: Debug + Send {
    fn header(&self) -> &SnapshotHeader;

    /// Its records, to be checked before it is put in place.
    fn table(&self) -> Arc<dyn Table>;

    /// Replaces the state in use, durably. After a crash before this returns, either the old or the new state
    /// is there, whole.
    fn activate(self: Box<Self>) -> Result<(), StorageError>;
}
