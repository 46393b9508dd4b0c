//! The log's records in a sled database of their own.

use crate::storage::error::StorageError;
use crate::storage::lock::DirectoryLock;
use crate::storage::log::record_store::{RecordStore, Visitor};
use crate::storage::log::run_log::SEGMENT_BYTES;
use crate::storage::sled_db::{SledDb, SledSettings};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sync at the latest when this many bytes of records were put or removed: fact 10 in
/// [`storage`](crate::storage). sled writes a multiple of that: it rewrites a page with all its records every
/// few changes.
const BYTES_BETWEEN_SYNCS: usize = 128 << 10;

#[derive(Debug)]
pub struct SledRecords {
    db: SledDb,
    /// Put or removed since the last sync.
    unsynced_bytes: AtomicUsize,
    _lock: Arc<DirectoryLock>,
}

impl SledRecords {
    /// Opens or makes the database.
    pub(crate) fn open(settings: SledSettings, lock: Arc<DirectoryLock>) -> Result<Self, StorageError> {
        Ok(Self { db: SledDb::open(settings)?, unsynced_bytes: AtomicUsize::new(0), _lock: lock })
    }

    fn changed(&self, bytes: usize) -> Result<(), StorageError> {
        let unsynced = self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unsynced > BYTES_BETWEEN_SYNCS { self.make_durable() } else { Ok(()) }
    }
}

impl RecordStore for SledRecords {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let value = self.db.run("read", |db| db.get(key))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, prefix: &[u8], each: Visitor<'_>) -> Result<(), StorageError> {
        let mut records = self.db.run("scan", |db| Ok(db.scan_prefix(prefix)))?;
        while let Some((key, value)) = self.db.run("scan", |_| records.next().transpose())? {
            self.db.count_scanned(&key)?;
            each(&key, &value)?;
        }
        Ok(())
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), StorageError> {
        let bytes = value.len();
        self.db.run("write", |db| db.insert(key, value))?;
        self.db.count_written(key)?;
        self.changed(bytes)
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        let removed = self.db.run("remove", |db| db.remove(key))?;
        self.changed(removed.map_or(0, |value| value.len()))
    }

    fn make_durable(&self) -> Result<(), StorageError> {
        self.unsynced_bytes.store(0, Ordering::Relaxed);
        self.db.make_durable()
    }

    /// Fact 10: up to two segments of what was synced hang on a header that is not. What is put takes up at least
    /// its own bytes of sled's log.
    fn window(&self) -> u64 {
        2 * SEGMENT_BYTES as u64
    }

    fn size_on_disk(&self) -> Result<u64, StorageError> {
        self.db.size_on_disk()
    }

    fn fail(&self, error: StorageError) -> StorageError {
        self.db.fail(error)
    }

    fn check(&self) -> Result<(), StorageError> {
        self.db.check()
    }

    fn path(&self) -> &Path {
        self.db.dir()
    }
}
