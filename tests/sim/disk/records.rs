//! The records of the log's store on the simulated disk.

use super::db::Db;
use bytes::Bytes;
use kontiki::storage::StorageError;
use kontiki::storage::log::{RecordStore, Visitor};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// The store's database.
#[derive(Debug)]
pub struct SimRecords {
    db: Arc<Mutex<Db>>,
    window: u64,
}

impl SimRecords {
    /// Opens it, or makes it.
    pub fn open(db: Arc<Mutex<Db>>, window: usize) -> Result<Self, StorageError> {
        db.lock().unwrap().open()?;
        Ok(Self { db, window: window as u64 })
    }

    fn db(&self) -> MutexGuard<'_, Db> {
        self.db.lock().unwrap()
    }
}

impl RecordStore for SimRecords {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.db().get(key)
    }

    fn scan(&self, prefix: &[u8], each: Visitor<'_>) -> Result<(), StorageError> {
        let mut from = Bound::Included(Bytes::copy_from_slice(prefix));
        loop {
            let range = (from.as_ref().map(|key| &key[..]), Bound::Unbounded);
            match self.db().next(range)? {
                Some((key, value)) if key.starts_with(prefix) => {
                    each(&key, &value)?;
                    from = Bound::Excluded(key);
                }
                _ => return Ok(()),
            }
        }
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), StorageError> {
        self.db().write(vec![(Bytes::copy_from_slice(key), Some(value.into()))])
    }

    fn remove(&self, key: &[u8]) -> Result<(), StorageError> {
        self.db().write(vec![(Bytes::copy_from_slice(key), None)])
    }

    fn make_durable(&self) -> Result<(), StorageError> {
        self.db().sync()
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn size_on_disk(&self) -> Result<u64, StorageError> {
        Ok(self.db().bytes())
    }

    fn fail(&self, error: StorageError) -> StorageError {
        self.db().fail(error)
    }

    fn check(&self) -> Result<(), StorageError> {
        self.db().check()
    }

    fn path(&self) -> &Path {
        Path::new("simulated/raft")
    }
}
