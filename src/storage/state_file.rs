//! A sled database that holds a state, never with as much as a segment unsynced.

use crate::storage::error::StorageError;
use crate::storage::generation::Generation;
use crate::storage::sled_db::SledDb;
use sled::IVec;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// sled keeps a few segments in memory, and an empty state takes one on disk.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;

/// Less than a segment may be unsynced at any time (fact 10 in [`storage`](crate::storage)), and sled writes
/// about seven times as much as it is given: it rewrites a page with all its records every few changes. So a
/// write waits for a sync when this many bytes are unsynced…
const UNSYNCED_BYTES_MAX: u64 = SEGMENT_BYTES as u64 / 8;

/// …which is rare, since a concurrent sync begins when there are this many.
const UNSYNCED_BYTES: u64 = UNSYNCED_BYTES_MAX / 2;

/// What each change, including a removal, counts in addition to its bytes.
const CHANGE_BYTES: usize = 512;

/// The records of a state in one directory.
#[derive(Debug)]
pub(crate) struct StateFile {
    synced: Arc<Synced>,
    /// Wakes the thread that syncs concurrently with the writer.
    wake: Option<SyncSender<()>>,
    syncer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Synced {
    // Before the generation, as fields are dropped in order: the database closes, then its directory may be removed.
    db: SledDb,
    generation: Generation,
    /// Bytes that were begun to be written since it was opened, in all…
    begun: AtomicU64,
    /// …that were written…
    written: AtomicU64,
    /// …and that are known to be synced.
    durable: AtomicU64,
    /// Held during a sync. If two threads sync at the same time, Linux reports a failure to only one of them.
    syncing: Mutex<()>,
}

impl StateFile {
    pub(crate) fn new(db: SledDb, generation: Generation) -> Result<Self, StorageError> {
        let synced = Arc::new(Synced::new(db, generation));
        let (wake, woken) = mpsc::sync_channel(1);
        let syncer = Arc::downgrade(&synced);
        let run = move || {
            while woken.recv().is_ok() {
                // Its error is final, so the next write will return it.
                let _ = syncer.upgrade().map(|synced: Arc<Synced>| synced.make_durable());
            }
        };
        let started = std::thread::Builder::new().name("state-writeback".into()).spawn(run);
        let syncer = started.map_err(StorageError::io("start a thread for", synced.db.dir()))?;
        Ok(Self { synced, wake: Some(wake), syncer: Some(syncer) })
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.synced.generation
    }

    pub(crate) fn db(&self) -> &SledDb {
        &self.synced.db
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StorageError> {
        self.db().run("read", |db| db.get(key))
    }

    pub(crate) fn range(&self, range: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Result<sled::Iter, StorageError> {
        self.db().run("scan", |db| Ok(db.range(range)))
    }

    /// Sets a record, and returns the one before. Syncs first if too much would be unsynced otherwise.
    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<IVec>, StorageError> {
        self.make_room(size(key, value.len()))?;
        let old = self.insert_into_room(key, value)?;
        self.wrote(size(key, value.len()));
        Ok(old)
    }

    /// The same between [`make_room`](Self::make_room) and [`wrote`](Self::wrote): never waits for a sync.
    pub(crate) fn insert_into_room(&self, key: &[u8], value: &[u8]) -> Result<Option<IVec>, StorageError> {
        let old = self.db().run("write", |db| db.insert(key, value))?;
        self.db().count_written(key)?;
        Ok(old)
    }

    /// Removes a record of about so many bytes: that rewrites a page just as an insertion does.
    pub(crate) fn remove(&self, key: &[u8], bytes: usize) -> Result<Option<IVec>, StorageError> {
        self.make_room(size(key, bytes))?;
        let old = self.db().run("remove", |db| db.remove(key))?;
        self.wrote(size(key, bytes));
        Ok(old)
    }

    /// Waits until so many bytes may be written.
    pub(crate) fn make_room(&self, bytes: usize) -> Result<(), StorageError> {
        self.synced.make_room(bytes as u64)
    }

    /// What was made room for is written. Has it synced soon.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.synced.written.fetch_add(bytes as u64, Ordering::Release);
        if self.synced.unsynced() > UNSYNCED_BYTES {
            // If it is full, the thread is awake already.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
    }

    /// Flushes and fsyncs.
    pub(crate) fn make_durable(&self) -> Result<(), StorageError> {
        self.synced.make_durable()
    }
}

impl Drop for StateFile {
    /// The thread's last sync must not overlap with the next opening of the directory.
    fn drop(&mut self) {
        drop(self.wake.take());
        let ended = self.syncer.take().map(JoinHandle::join);
        debug_assert!(!matches!(ended, Some(Err(_))), "it has nothing to panic about");
    }
}

/// Whether so much more may be unsynced. Anything may if nothing else is.
fn has_room(unsynced: u64, bytes: u64) -> bool {
    unsynced == 0 || unsynced + bytes <= UNSYNCED_BYTES_MAX
}

/// What a change of a record counts.
pub(crate) fn size(key: &[u8], value: usize) -> usize {
    CHANGE_BYTES + key.len() + value
}

impl Synced {
    fn new(db: SledDb, generation: Generation) -> Self {
        let none = || AtomicU64::new(0);
        Self { db, generation, begun: none(), written: none(), durable: none(), syncing: Mutex::new(()) }
    }

    fn make_durable(&self) -> Result<(), StorageError> {
        self.sync(&self.syncing())
    }

    fn syncing(&self) -> MutexGuard<'_, ()> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, _alone: &MutexGuard<'_, ()>) -> Result<(), StorageError> {
        let written = self.written.load(Ordering::Acquire);
        self.db.make_durable()?; // It fails if an earlier one has failed.
        self.durable.store(written, Ordering::Relaxed);
        Ok(())
    }

    fn make_room(&self, bytes: u64) -> Result<(), StorageError> {
        while !self.take_room(bytes) {
            self.wait_for_room(bytes)?;
        }
        Ok(())
    }

    /// False: there is not enough.
    fn take_room(&self, bytes: u64) -> bool {
        let durable = self.durable.load(Ordering::Relaxed);
        let more = |begun: u64| has_room(begun - durable, bytes).then_some(begun + bytes);
        self.begun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Mostly a sync is under way and makes the room: a second one would double the wait.
    fn wait_for_room(&self, bytes: u64) -> Result<(), StorageError> {
        let alone = self.syncing();
        if has_room(self.unsynced(), bytes) { Ok(()) } else { self.sync(&alone) }
    }

    fn unsynced(&self) -> u64 {
        self.begun.load(Ordering::Relaxed) - self.durable.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::directory::Layout;
    use crate::storage::generation::Generations;
    use crate::storage::lock::DirectoryLock;
    use crate::storage::sled_db::SledSettings;
    use std::path::Path;

    fn synced(dir: &Path) -> Synced {
        let layout = Layout::new(dir);
        let lock = Arc::new(DirectoryLock::take(dir).unwrap());
        let generation = Generations::new(layout.clone(), lock).fresh().unwrap();
        let settings = SledSettings {
            dir: layout.state(generation.number()),
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: 1 << 20,
            collect_every: None,
            fsync: false,
        };
        Synced::new(SledDb::open(settings).unwrap(), generation)
    }

    fn write(file: &Synced, bytes: u64) {
        file.make_room(bytes).unwrap();
        file.written.fetch_add(bytes, Ordering::Relaxed);
    }

    #[test]
    fn who_waited_for_a_sync_that_made_room_does_not_sync_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = synced(dir.path());
        // What was written during the sync that the writer waited for is unsynced still, and leaves room.
        write(&file, 1000);
        file.wait_for_room(100).unwrap();
        assert_eq!(file.unsynced(), 1000, "no second sync");
        write(&file, UNSYNCED_BYTES_MAX - 1000);
        file.wait_for_room(100).unwrap();
        assert_eq!(file.unsynced(), 0, "there was no room after it");
        write(&file, UNSYNCED_BYTES_MAX);
        file.make_room(100).unwrap();
        assert_eq!(file.unsynced(), 100);
    }

    #[test]
    fn a_sync_does_not_cover_what_is_still_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = synced(dir.path());
        file.make_room(300).unwrap();
        write(&file, 1000);
        file.make_durable().unwrap();
        assert_eq!(file.unsynced(), 300);
    }
}
