//! Where the state machine keeps its records: the seam for another engine.

use bytes::Bytes;
use std::ops::Bound;

/// An ordered map from bytes to bytes that survives the process once synced.
///
/// Two true implementations: sled ([`crate::storage`]) and a sorted map in
/// memory for tests and simulation ([`crate::kv::MemoryTable`]). Readers and
/// the one writer use it at the same time.
pub trait Table: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError>;

    /// The records from `start` on, below `end`, in key order. It may or may not
    /// show what is written while it runs.
    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_>;

    /// Applies a batch, as a whole or, after a crash, not at all; and never
    /// without all batches before it.
    fn write(&self, batch: Batch) -> Result<(), TableError>;

    /// Returns when all that was written before the call is on stable storage.
    fn sync(&self) -> Result<(), TableError>;

    /// How many bytes a removal of this key takes away, about: the engine may have to write
    /// as much, so large batches are cut by it.
    fn weight(&self, key: &[u8]) -> Result<usize, TableError> {
        Ok(self.get(key)?.map_or(0, |value| value.len()))
    }

    /// Bytes on disk, about.
    fn size_on_disk(&self) -> Result<u64, TableError>;
}

/// Records in key order.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), TableError>> + Send + 'a>;

/// Changes that belong together. Later ones win over earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `Some` sets the key, `None` removes it.
    pub changes: Vec<(Bytes, Option<Bytes>)>,
}

/// The table's engine broke its word, or found damage. There is nothing to
/// retry: the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state table: {0}")]
pub struct TableError(pub String);
