//! What the log needs of an engine.

use crate::storage::error::StorageError;
use bytes::Bytes;
use std::path::Path;

/// Records by key, kept in one sequence of operations: after a crash a *prefix*
/// of them is there, each whole, and at least those that were put before the last [`make_durable`](Self::make_durable)
/// and before as many bytes of other values as [`window`](Self::window) says.
///
/// Two true implementations: sled, and the simulator's disk. The first error is final.
pub trait RecordStore: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Shows the records whose keys begin with `prefix`, in key order.
    fn scan(&self, prefix: &[u8], each: Visitor<'_>) -> Result<(), StorageError>;

    /// Sets a key.
    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), StorageError>;

    /// Removes a key.
    fn remove(&self, key: &[u8]) -> Result<(), StorageError>;

    /// Returns when all operations before the call are on stable storage.
    fn make_durable(&self) -> Result<(), StorageError>;

    /// How many bytes of values, at most, put before a sync may still be taken by a power cut after it.
    fn window(&self) -> u64;

    /// Bytes on disk, about.
    fn size_on_disk(&self) -> Result<u64, StorageError>;

    /// Marks the store as failed; the first reason stays.
    fn fail(&self, error: StorageError) -> StorageError;

    /// The error that it failed with, if it did.
    fn check(&self) -> Result<(), StorageError>;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// Is shown a key and its value.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StorageError>;
