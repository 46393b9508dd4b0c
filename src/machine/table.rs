//! Where the state machine keeps its records: the interface to a storage engine.

use crate::kv::TableError;
use bytes::Bytes;
use std::ops::Bound;

/// An ordered map from bytes to bytes that survives the process once synced.
///
/// Two implementations: sled ([`crate::storage`]) and a sorted map in
/// memory for tests and simulation ([`MemoryTable`](crate::machine::MemoryTable)). Readers and
/// the one writer use it at the same time.
///
/// A crash leaves a prefix of its operations, in the order in which they were called; all of those before the
/// last sync are part of it. There are no batches: changes that belong together are ordered so that every
/// prefix is consistent.
pub trait Table: Send + Sync + 'static {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError>;

    /// The records from `start` on, below `end`, in key order. It may or may not include what is written while it runs.
    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_>;

    /// Sets the value of a key: one operation.
    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), TableError>;

    /// Removes a key, if it is there: one operation.
    fn remove(&self, key: &[u8]) -> Result<(), TableError>;

    /// Returns when everything written before the call is on stable storage.
    fn sync(&self) -> Result<(), TableError>;

    /// Bytes on disk, about.
    fn size_on_disk(&self) -> Result<u64, TableError>;
}

/// Records in key order.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), TableError>> + Send + 'a>;
