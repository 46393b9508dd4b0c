//! The log's records on the simulated disk.

use super::SimDisk;
use super::db::Db;
use super::device::{self, Course};
use super::fault::Part;
use bytes::Bytes;
use kontiki::storage::StorageError;
use kontiki::storage::log::{RecordStore, Visitor};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// The log's database, and the note beside it.
#[derive(Debug)]
pub struct SimRecords {
    disk: SimDisk,
    db: Arc<Mutex<Db>>,
    noted: u64,
}

impl SimRecords {
    /// Opens it, or makes it.
    pub fn open(disk: SimDisk, db: Arc<Mutex<Db>>) -> Result<Self, StorageError> {
        db.lock().unwrap().open()?;
        let noted = disk.noted();
        Ok(Self { disk, db, noted })
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

    fn note(&self, sequence: u64) -> Result<(), StorageError> {
        let course = {
            let process = self.db().process();
            let mut device = self.disk.device.lock();
            device.check(process)?;
            device.write(Part::Log, 0)
        };
        match course {
            Course::Done => {
                self.disk.note(sequence);
                Ok(())
            }
            Course::Fails(reason) => Err(device::io("write", reason)),
            _ => Err(device::io("write", "the process is gone")),
        }
    }

    fn noted(&self) -> u64 {
        self.noted
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
