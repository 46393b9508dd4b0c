//! The state on the simulated disk, and its replacement by a received snapshot.

use super::db::Db;
use super::device::{self, Course};
use super::fault::Part;
use super::{Pointer, SimDisk};
use bytes::Bytes;
use kontiki::kv::TableError;
use kontiki::machine::{Scan, Table};
use kontiki::storage::snapshot::Decoder;
use kontiki::storage::{SnapshotHeader, StageError, StagedState, StateStore, StorageError, VerifiedState};
use kontiki::types::{ClusterId, EntryId};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

/// The state's records.
#[derive(Clone, Debug)]
pub struct SimTable(Arc<Mutex<Db>>);

impl SimTable {
    fn db(&self) -> MutexGuard<'_, Db> {
        self.0.lock().unwrap()
    }
}

impl Table for SimTable {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.db().get(key).map_err(table_error)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_> {
        let mut start = start.map(Bytes::copy_from_slice);
        let end = end.map(Bytes::copy_from_slice);
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            let (from, to) = (start.as_ref().map(|key| &key[..]), end.as_ref().map(|key| &key[..]));
            if ended || is_empty(from, to) {
                return None;
            }
            let found = self.db().next((from, to));
            match found {
                Ok(Some((key, value))) => {
                    start = Bound::Excluded(key.clone());
                    Some(Ok((key, value)))
                }
                Ok(None) => None,
                Err(error) => {
                    ended = true;
                    Some(Err(table_error(error)))
                }
            }
        }))
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.db().write(vec![(key, Some(value))]).map_err(table_error)
    }

    fn remove(&self, key: &[u8]) -> Result<(), TableError> {
        self.db().write(vec![(Bytes::copy_from_slice(key), None)]).map_err(table_error)
    }

    fn sync(&self) -> Result<(), TableError> {
        self.db().sync().map_err(table_error)
    }

    fn size_on_disk(&self) -> Result<u64, TableError> {
        Ok(self.db().bytes())
    }
}

/// `BTreeMap::range` panics on these.
fn is_empty(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
        _ => false,
    }
}

fn table_error(error: StorageError) -> TableError {
    TableError(error.to_string())
}

/// The state in use.
#[derive(Debug)]
pub struct SimStates {
    disk: SimDisk,
    cluster: ClusterId,
    process: u64,
    installed: Option<EntryId>,
}

impl SimStates {
    /// Opens the state that the pointer names and forgets all others.
    pub fn open(disk: SimDisk, cluster: ClusterId) -> Result<Self, StorageError> {
        let pointer = disk.settle_pointer();
        let db = disk.state(pointer.generation);
        db.lock().unwrap().open()?;
        db.lock().unwrap().sync()?;
        disk.keep_only(pointer.generation);
        let process = disk.device.lock().process;
        Ok(Self { disk, cluster, process, installed: pointer.installed })
    }
}

impl StateStore for SimStates {
    fn table(&self) -> Arc<dyn Table> {
        Arc::new(SimTable(self.disk.current_state()))
    }

    fn installed(&self) -> Option<EntryId> {
        self.installed
    }

    fn free_bytes(&self) -> Result<u64, StorageError> {
        Ok(self.disk.device.lock().free())
    }

    /// It takes no more space than it needs.
    fn vacuum(&self, _live: u64, _spare: u64) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn stage(&self) -> Result<Box<dyn StagedState>, StorageError> {
        self.disk.device.lock().check(self.process)?;
        let (generation, db) = self.disk.new_state();
        Ok(Box::new(SimStaged {
            disk: self.disk.clone(),
            cluster: self.cluster,
            generation,
            table: SimTable(db),
            decoder: Decoder::new(),
        }))
    }
}

/// A snapshot on its way in.
#[derive(Debug)]
struct SimStaged {
    disk: SimDisk,
    cluster: ClusterId,
    generation: u64,
    table: SimTable,
    decoder: Decoder,
}

impl StagedState for SimStaged {
    fn push(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        let records = self.decoder.push(bytes)?;
        if let Some(header) = self.decoder.header()
            && header.cluster != self.cluster
        {
            return Err(StageError::OtherCluster { found: header.cluster, expected: self.cluster });
        }
        for (key, value) in records {
            // Copies, as a record must not keep the whole block that it came in.
            let value = Bytes::copy_from_slice(&value);
            self.table.db().write(vec![(Bytes::copy_from_slice(&key), Some(value))])?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn VerifiedState>, StageError> {
        let Self { disk, generation, table, decoder, .. } = *self;
        let header = decoder.finish()?.header;
        table.db().sync()?;
        Ok(Box::new(SimVerified { disk, generation, table, header }))
    }
}

/// A snapshot that is whole and durable.
#[derive(Debug)]
struct SimVerified {
    disk: SimDisk,
    generation: u64,
    table: SimTable,
    header: SnapshotHeader,
}

impl VerifiedState for SimVerified {
    fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    fn table(&self) -> Arc<dyn Table> {
        Arc::new(self.table.clone())
    }

    /// As a small file is replaced: written beside the old one and synced, renamed,
    /// the directory synced. A crash may come in each of the three.
    fn activate(self: Box<Self>) -> Result<(), StorageError> {
        const POINTER_BYTES: usize = 64;
        let process = self.table.db().process();
        let pointer = Pointer { generation: self.generation, installed: Some(self.header.last) };
        self.disk.step(process, "write", |device| device.write(Part::State, POINTER_BYTES))?;
        self.disk.device.lock().used -= POINTER_BYTES as u64;
        self.disk.step(process, "fsync", |device| device.sync(Part::State))?;
        self.disk.rename_pointer(pointer);
        self.disk.step(process, "fsync", |device| device.sync(Part::State))?;
        self.disk.settle_pointer();
        self.disk.keep_only(pointer.generation);
        Ok(())
    }
}

impl SimDisk {
    /// One step of the file system.
    fn step(
        &self,
        process: u64,
        action: &'static str,
        ask: impl FnOnce(&mut device::Device) -> Course,
    ) -> Result<(), StorageError> {
        let mut device = self.device.lock();
        device.check(process)?;
        match ask(&mut device) {
            Course::Done | Course::Misdirected => Ok(()),
            Course::Dies => Err(device::io(action, "the process is gone")),
            Course::Fails(reason) => Err(device::io(action, reason)),
        }
    }
}
