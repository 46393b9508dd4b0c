//! What the log needs of a storage engine.

use crate::storage::error::StorageError;
use bytes::Bytes;
use std::path::Path;

/// Records by key, written as one sequence of operations: after a crash there is a *prefix* of them, each
/// whole, and at least those before the last [`make_durable`](Self::make_durable), except for the last
/// [`window`](Self::window) bytes of values.
///
/// Two implementations: sled, and the simulator's disk. The first error is final.
pub trait RecordStore: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Visits the records whose keys begin with `prefix`, in key order.
    fn scan(&self, prefix: &[u8], each: Visitor<'_>) -> Result<(), StorageError>;

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), StorageError>;

    fn remove(&self, key: &[u8]) -> Result<(), StorageError>;

    /// Returns when all operations before the call are on stable storage.
    fn make_durable(&self) -> Result<(), StorageError>;

    /// The most bytes of values, put before a sync, that a power cut after the sync may still take away.
    fn window(&self) -> u64;

    /// Bytes on disk, about.
    fn size_on_disk(&self) -> Result<u64, StorageError>;

    /// Marks the store as failed; the first reason stays.
    fn fail(&self, error: StorageError) -> StorageError;

    /// Fails with the first error, if there was one.
    fn check(&self) -> Result<(), StorageError>;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// Called with a key and its value.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StorageError>;
