//! The log's records in a sled database of their own.

use crate::storage::error::StorageError;
use crate::storage::lock::DirectoryLock;
use crate::storage::log::record_store::{RecordStore, Visitor};
use crate::storage::log::witness::Witness;
use crate::storage::sled_db::{SledDb, SledSettings};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sync at the latest when so many bytes of records were put or removed; see fact 10 in [`storage`](crate::storage).
/// sled writes about seven times as much: it rewrites a page with all its records every few changes.
const BYTES_BETWEEN_SYNCS: usize = 512 << 10;

/// See the module.
#[derive(Debug)]
pub struct SledRecords {
    db: SledDb,
    /// Put or removed since the last sync.
    unsynced_bytes: AtomicUsize,
    noted: u64,
    /// None without fsync: there is then nothing to bear witness to.
    witness: Option<Witness>,
    _lock: Arc<DirectoryLock>,
}

impl SledRecords {
    /// Opens or makes the database; `witness` is the file beside it.
    pub(crate) fn open(
        settings: SledSettings,
        witness: &Path,
        lock: Arc<DirectoryLock>,
    ) -> Result<Self, StorageError> {
        let fsync = settings.fsync;
        let db = SledDb::open(settings)?;
        let noted = Witness::read(witness);
        let witness = if fsync { Some(Witness::open(witness)?) } else { None };
        Ok(Self { db, unsynced_bytes: AtomicUsize::new(0), noted, witness, _lock: lock })
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
            each(&key, &value)?;
        }
        Ok(())
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), StorageError> {
        let bytes = value.len();
        self.db.run("write", |db| db.insert(key, value))?;
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

    fn note(&self, sequence: u64) -> Result<(), StorageError> {
        self.witness.as_ref().map_or(Ok(()), |witness| witness.note(sequence))
    }

    fn noted(&self) -> u64 {
        self.noted
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
