//! [`Table`] over one tree of a sled database.
//!
//! ```text
//! 0 ‖ key                  →  0 ‖ value                          a value of ordinary size
//! 0 ‖ key                  →  1 ‖ stamp ‖ length                 a large one, whose pieces are
//! 1 ‖ key ‖ stamp ‖ piece  →  bytes
//! ```
//!
//! A large value is split, since a page of sled that outgrows a quarter of a segment goes to a file that is
//! never synced. The stamp is a hash of the value. None of this is visible outside.
//!
//! Every prefix of its operations is consistent: pieces are written before the record that names them, and
//! removed after it is gone or names others. Pieces that a crash leaves without a record are removed at the
//! next open.

use crate::kv::TableError;
use crate::machine::{Scan, Table};
use crate::storage::error::StorageError;
use crate::storage::generation::Generation;
use crate::storage::sled_db::SledDb;
use bytes::Bytes;
use sled::IVec;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use xxhash_rust::xxh3::xxh3_64;

const RECORDS: u8 = 0;
const PIECES: u8 = 1;
const INLINE: u8 = 0;
const PIECEWISE: u8 = 1;

/// sled keeps a few segments in memory, and an empty state takes one on disk.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;

/// The most bytes of a value in one record: 21 of them with their keys (a full page) stay below a quarter of
/// a segment, since sled rewrites a page as a whole.
const PIECE_BYTES: usize = 8 << 10;

/// The longest key: 321 of them (a full index page) stay below a quarter of a segment.
const KEY_BYTES_MAX: usize = 256;

/// Less than a segment may be unsynced at any time (fact 10 in [`storage`](crate::storage)), and sled writes
/// about seven times as much as it is given: it rewrites a page with all its records every few changes. So a
/// write waits for a sync when this many bytes are unsynced…
const UNSYNCED_BYTES_MAX: u64 = SEGMENT_BYTES as u64 / 8;

/// …which is rare, since a concurrent sync begins when there are this many.
const UNSYNCED_BYTES: u64 = UNSYNCED_BYTES_MAX / 2;

/// What each change, including a removal, counts in addition to its bytes.
const CHANGE_BYTES: usize = 512;

/// The state's records in sled.
#[derive(Debug)]
pub(crate) struct SledTable {
    records: Arc<Records>,
    /// Wakes the thread that syncs concurrently with the writer.
    wake: Option<SyncSender<()>>,
    syncer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Records {
    // Before the generation, as fields are dropped in order: the database closes, then its directory may be removed.
    db: SledDb,
    generation: Generation,
    /// Bytes written and not known to be synced.
    unsynced_bytes: AtomicU64,
    /// Held during a sync. If two threads sync at the same time, Linux reports a failure to only one of them.
    syncing: Mutex<()>,
}

impl SledTable {
    pub(crate) fn new(db: SledDb, generation: Generation) -> Result<Self, StorageError> {
        let (unsynced_bytes, syncing) = (AtomicU64::new(0), Mutex::new(()));
        let records = Arc::new(Records { db, generation, unsynced_bytes, syncing });
        records.remove_orphans()?;
        let (wake, woken) = mpsc::sync_channel(1);
        let syncer = Arc::downgrade(&records);
        let run = move || {
            while woken.recv().is_ok() {
                // Its error is final, so the next write will return it.
                let _ = syncer.upgrade().map(|records: Arc<Records>| records.make_durable());
            }
        };
        let started = std::thread::Builder::new().name("state-writeback".into()).spawn(run);
        let syncer = started.map_err(StorageError::io("start a thread for", records.db.dir()))?;
        Ok(Self { records, wake: Some(wake), syncer: Some(syncer) })
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.records.generation
    }

    /// Adds records to a table that nobody reads yet.
    pub(crate) fn load(&self, records: Vec<(Bytes, Bytes)>) -> Result<(), StorageError> {
        records.into_iter().try_for_each(|(key, value)| self.records.set_value(&key, &value))
    }

    /// Flushes and fsyncs.
    pub(crate) fn make_durable(&self) -> Result<(), StorageError> {
        self.records.make_durable()
    }

    /// Has recent writes synced soon.
    fn written(&self) {
        if self.records.unsynced_bytes.load(Ordering::Relaxed) > UNSYNCED_BYTES {
            // If it is full, the thread is awake already.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
    }
}

impl Drop for SledTable {
    /// The thread's last sync must not overlap with the next opening of the directory.
    fn drop(&mut self) {
        drop(self.wake.take());
        let ended = self.syncer.take().map(JoinHandle::join);
        debug_assert!(!matches!(ended, Some(Err(_))), "it has nothing to panic about");
    }
}

impl Records {
    fn make_durable(&self) -> Result<(), StorageError> {
        self.sync(&self.syncing())
    }

    fn syncing(&self) -> MutexGuard<'_, ()> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, _alone: &MutexGuard<'_, ()>) -> Result<(), StorageError> {
        let covered = self.unsynced_bytes.load(Ordering::Relaxed);
        self.db.make_durable()?; // It fails if an earlier one has failed.
        self.unsynced_bytes.fetch_sub(covered, Ordering::Relaxed);
        Ok(())
    }

    /// Syncs first if too much would be unsynced otherwise.
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<IVec>, StorageError> {
        self.make_room(CHANGE_BYTES + key.len() + value.len())?;
        let old = self.db.run("write", |db| db.insert(key, value))?;
        self.db.count_written(key)?;
        Ok(old)
    }

    /// A removal rewrites a page just like an insertion.
    fn remove(&self, key: &[u8], bytes: usize) -> Result<Option<IVec>, StorageError> {
        self.make_room(CHANGE_BYTES + key.len() + bytes)?;
        self.db.run("remove", |db| db.remove(key))
    }

    fn make_room(&self, bytes: usize) -> Result<(), StorageError> {
        let bytes = bytes as u64;
        if !self.has_room(bytes) {
            self.wait_for_room(bytes)?;
        }
        self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Mostly a sync is under way and makes the room: a second one would double the wait.
    fn wait_for_room(&self, bytes: u64) -> Result<(), StorageError> {
        let alone = self.syncing();
        if self.has_room(bytes) { Ok(()) } else { self.sync(&alone) }
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.unsynced_bytes.load(Ordering::Relaxed) + bytes <= UNSYNCED_BYTES_MAX
    }

    fn set_value(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if key.len() > KEY_BYTES_MAX {
            let reason = format!("a key has {} bytes, the limit is {KEY_BYTES_MAX}", key.len());
            let path = self.db.dir().to_owned();
            return Err(self.db.fail(StorageError::Engine { action: "write", path, reason }));
        }
        let record = if value.len() <= PIECE_BYTES {
            [&[INLINE], value].concat()
        } else {
            let pieces = Pieces { stamp: xxh3_64(value), length: value.len() as u64 };
            for (number, bytes) in (0..).zip(value.chunks(PIECE_BYTES)) {
                let key = pieces.key(key, number);
                self.insert(&key, bytes)?;
            }
            pieces.record()
        };
        let old = self.insert(&record_key(key), &record)?;
        self.remove_pieces(key, old.filter(|old| *old != record))
    }

    fn remove_value(&self, key: &[u8]) -> Result<(), StorageError> {
        let old = self.remove(&record_key(key), PIECE_BYTES)?;
        self.remove_pieces(key, old)
    }

    /// Removes the pieces that a record named.
    fn remove_pieces(&self, key: &[u8], record: Option<IVec>) -> Result<(), StorageError> {
        let Some(pieces) = record.and_then(|record| Pieces::of(&record)) else { return Ok(()) };
        for number in 0..pieces.count() {
            self.remove(&pieces.key(key, number), PIECE_BYTES)?;
        }
        Ok(())
    }

    /// Removes the pieces that no record names.
    fn remove_orphans(&self) -> Result<(), StorageError> {
        let mut orphans = Vec::new();
        let mut pieces = self.db.run("scan", |db| Ok(db.scan_prefix([PIECES])))?;
        let mut named: Option<(Vec<u8>, bool)> = None;
        while let Some((piece, _)) = self.db.run("scan", |_| pieces.next().transpose())? {
            // Adjacent pieces belong to the same value.
            let Some((value, _)) = piece.split_last_chunk::<4>() else { continue };
            let is_named = match &named {
                Some((last, is_named)) if last == value => *is_named,
                _ => self.is_named(value)?,
            };
            named = Some((value.to_vec(), is_named));
            if !is_named {
                orphans.push(piece);
            }
        }
        for orphan in orphans {
            self.remove(&orphan, PIECE_BYTES)?;
        }
        Ok(())
    }

    /// Whether the record names these pieces; `value` is the key of a piece without its number.
    fn is_named(&self, value: &[u8]) -> Result<bool, StorageError> {
        let Some((key, stamp)) = value[1..].split_last_chunk() else { return Ok(false) };
        let record = self.db.run("read", |db| db.get(record_key(key)))?;
        let pieces = record.and_then(|record| Pieces::of(&record));
        Ok(pieces.is_some_and(|pieces| pieces.stamp.to_be_bytes() == *stamp))
    }

    /// The value that a record stands for.
    fn value(&self, key: &[u8], record: &IVec) -> Result<Option<Bytes>, StorageError> {
        match record.split_first() {
            // Not a copy: sled allocates each record by itself.
            Some((&INLINE, _)) => Ok(Some(Bytes::from_owner(record.clone()).slice(1..))),
            Some((&PIECEWISE, _)) => self.large_value(key, record.clone()),
            _ => Err(self.damaged(key, "it has no known form")),
        }
    }

    /// Joins the pieces. The writer may replace the value meanwhile: then the record has changed too, and
    /// reading starts over with the new one.
    fn large_value(&self, key: &[u8], mut record: IVec) -> Result<Option<Bytes>, StorageError> {
        loop {
            if let Some(value) = self.join(key, &record)? {
                return Ok(Some(value));
            }
            let again = self.db.run("read", |db| db.get(record_key(key)))?;
            match again {
                None => return Ok(None),
                Some(again) if again == record => {
                    return Err(self.damaged(key, "its pieces are missing or of another value"));
                }
                Some(again) if again.first() == Some(&PIECEWISE) => record = again,
                Some(again) => return self.value(key, &again),
            }
        }
    }

    /// `None` if the pieces do not fit the record.
    fn join(&self, key: &[u8], record: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let Some(pieces) = Pieces::of(record) else { return Ok(None) };
        // Grows with the actual pieces, whatever the length claims.
        let mut value = Vec::new();
        for number in 0..pieces.count() {
            let Some(piece) = self.db.run("read", |db| db.get(pieces.key(key, number)))? else {
                return Ok(None);
            };
            value.extend_from_slice(&piece);
        }
        let fits = value.len() as u64 == pieces.length && xxh3_64(&value) == pieces.stamp;
        Ok(fits.then(|| value.into()))
    }

    fn damaged(&self, key: &[u8], reason: &str) -> StorageError {
        let record = format!("the value of key {:?}", Bytes::copy_from_slice(key));
        self.db.fail(StorageError::damaged(self.db.dir(), record, reason))
    }

    fn get_value(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self.db.run("read", |db| db.get(record_key(key)))? {
            None => Ok(None),
            Some(record) => self.value(key, &record),
        }
    }

    /// The next record of a scan; its value is `None` if it was removed meanwhile.
    fn next_record(&self, records: &mut sled::Iter) -> Result<Option<(Bytes, Option<Bytes>)>, StorageError> {
        let Some((key, record)) = self.db.run("scan", |_| records.next().transpose())? else {
            return Ok(None);
        };
        self.db.count_scanned(&key)?;
        let key = Bytes::copy_from_slice(key.get(1..).unwrap_or_default());
        let value = self.value(&key, &record)?;
        Ok(Some((key, value)))
    }
}

impl Table for SledTable {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.records.get_value(key).map_err(table_error)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_> {
        self.records.scan(start, end)
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        self.records.set_value(key, value).map_err(table_error)?;
        self.written();
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<(), TableError> {
        self.records.remove_value(key).map_err(table_error)?;
        self.written();
        Ok(())
    }

    fn sync(&self) -> Result<(), TableError> {
        self.make_durable().map_err(table_error)
    }

    fn size_on_disk(&self) -> Result<u64, TableError> {
        self.records.db.size_on_disk().map_err(table_error)
    }
}

impl Records {
    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_> {
        let start = start.map(record_key);
        let start = if start == Bound::Unbounded { Bound::Included(vec![RECORDS]) } else { start };
        let end = end.map(record_key);
        let end = if end == Bound::Unbounded { Bound::Excluded(vec![PIECES]) } else { end };
        if is_empty(&start, &end) {
            return Box::new(std::iter::empty());
        }
        let mut records = match self.db.run("scan", |db| Ok(db.range((start, end)))) {
            Ok(records) => records,
            Err(error) => return Box::new(std::iter::once(Err(table_error(error)))),
        };
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            while !ended {
                let step = self.next_record(&mut records);
                ended = !matches!(step, Ok(Some(_)));
                match step {
                    // Removed since the iterator read its record.
                    Ok(Some((_, None))) => {}
                    Ok(Some((key, Some(value)))) => return Some(Ok((key, value))),
                    Ok(None) => return None,
                    Err(error) => return Some(Err(table_error(error))),
                }
            }
            None
        }))
    }
}

/// The record of a large value.
#[derive(Clone, Copy)]
struct Pieces {
    stamp: u64,
    length: u64,
}

impl Pieces {
    /// `None`: the value has no pieces.
    fn of(record: &[u8]) -> Option<Self> {
        let (stamp, length) = record.strip_prefix(&[PIECEWISE])?.split_first_chunk()?;
        let length = u64::from_be_bytes(length.try_into().ok()?);
        Some(Self { stamp: u64::from_be_bytes(*stamp), length })
    }

    fn record(self) -> Vec<u8> {
        [&[PIECEWISE][..], &self.stamp.to_be_bytes(), &self.length.to_be_bytes()].concat()
    }

    fn count(self) -> u32 {
        u32::try_from(self.length.div_ceil(PIECE_BYTES as u64)).unwrap_or(u32::MAX)
    }

    fn key(self, key: &[u8], number: u32) -> Vec<u8> {
        [&[PIECES][..], key, &self.stamp.to_be_bytes(), &number.to_be_bytes()].concat()
    }
}

fn record_key(key: &[u8]) -> Vec<u8> {
    [&[RECORDS], key].concat()
}

/// Whether the range is empty or inverted: sled panics on the latter.
fn is_empty(start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::directory::Layout;
    use crate::storage::generation::Generations;
    use crate::storage::lock::DirectoryLock;
    use crate::storage::sled_db::SledSettings;
    use std::path::Path;

    fn records(dir: &Path) -> Records {
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
        let db = SledDb::open(settings).unwrap();
        Records { db, generation, unsynced_bytes: AtomicU64::new(0), syncing: Mutex::new(()) }
    }

    #[test]
    fn who_waited_for_a_sync_that_made_room_does_not_sync_again() {
        let dir = tempfile::tempdir().unwrap();
        let records = records(dir.path());
        let unsynced = || records.unsynced_bytes.load(Ordering::Relaxed);
        // What was written during the sync that the writer waited for is unsynced still, and leaves room.
        records.unsynced_bytes.store(1000, Ordering::Relaxed);
        records.wait_for_room(100).unwrap();
        assert_eq!(unsynced(), 1000, "no second sync");
        records.unsynced_bytes.store(UNSYNCED_BYTES_MAX, Ordering::Relaxed);
        records.wait_for_room(100).unwrap();
        assert_eq!(unsynced(), 0, "there was no room after it");
        records.unsynced_bytes.store(UNSYNCED_BYTES_MAX, Ordering::Relaxed);
        records.make_room(100).unwrap();
        assert_eq!(unsynced(), 100);
    }
}
