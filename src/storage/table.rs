//! [`Table`] over one tree of a sled database.
//!
//! ```text
//! 0 ‖ key          →  0 ‖ value                                    a value of ordinary size
//! 0 ‖ key          →  1 ‖ stamp ‖ length ‖ CRC32C of the value     a large one, whose pieces are
//! 1 ‖ key ‖ piece  →  stamp ‖ bytes
//! ```
//!
//! A large value is cut up, since a page of sled that outgrows a quarter of a
//! segment goes to a file that is never synced. All is in one tree, as a batch of
//! sled is atomic only within a tree. Nothing of it shows outside.
//!
//! Batches take sled's process-wide lock, and a batch cannot be synced before it is whole. So the state machine
//! keeps them short, but for what a single command changes, which is bounded.

use crate::kv::{Batch, Scan, Table, TableError};
use crate::storage::error::StorageError;
use crate::storage::generation::Generation;
use crate::storage::sled_db::SledDb;
use bytes::Bytes;
use sled::IVec;
use std::collections::BTreeMap;
use std::ops::{Bound, Not as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const RECORDS: u8 = 0;
const PIECES: u8 = 1;
const INLINE: u8 = 0;
const PIECEWISE: u8 = 1;

/// The largest that sled allows, since keys and values may be large.
pub(crate) const SEGMENT_BYTES: usize = 16 << 20;

/// What of a value goes into one record. 21 of them with their keys (a full page)
/// stay far below a quarter of a segment, since sled rewrites a page as a whole.
const PIECE_BYTES: usize = 16 << 10;

/// The longest key: 321 of them (a full index page) stay below a quarter of a segment.
const KEY_BYTES_MAX: usize = 12 << 10;

/// Sync at the latest after so many bytes; see fact 10 in [`storage`](crate::storage). sled
/// writes about seven times as much: it rewrites a page with all its records every few changes.
const BYTES_BETWEEN_SYNCS: u64 = 2 << 20;

/// What a change counts for beside its bytes, a removal too.
const CHANGE_BYTES: usize = 512;

/// The changes of a batch in sled's keys; the last change of a key counts.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The state's records in sled.
#[derive(Debug)]
pub(crate) struct SledTable {
    // Before the generation: the database closes, then its directory may be removed.
    db: SledDb,
    generation: Generation,
    /// The keys with large values, and how many pieces they have. Few: each
    /// stands for more than 16 KiB on disk.
    large: Mutex<BTreeMap<Vec<u8>, u32>>,
    /// Tells the pieces of one value from those of the value it replaced.
    next_stamp: AtomicU64,
    /// What was written and is not known to be synced.
    unsynced_bytes: AtomicU64,
    /// Held for a sync. Of two threads that sync at the same time Linux tells only one that it failed.
    syncing: Mutex<()>,
}

impl SledTable {
    pub(crate) fn new(db: SledDb, generation: Generation) -> Result<Self, StorageError> {
        let large = Mutex::new(find_large(&db)?);
        let next_stamp = AtomicU64::new(fastrand::u64(..));
        Ok(Self {
            db,
            generation,
            large,
            next_stamp,
            unsynced_bytes: AtomicU64::new(0),
            syncing: Mutex::new(()),
        })
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Adds records to a table that nobody reads yet. Unlike [`Table::write`] not
    /// atomic, and so without the lock that stops all other sled databases.
    pub(crate) fn load(&self, records: Vec<(Bytes, Bytes)>) -> Result<(), StorageError> {
        let batch = Batch { changes: records.into_iter().map(|(key, value)| (key, Some(value))).collect() };
        for (key, value) in self.changes(batch)? {
            self.write_alone(key, value)?;
        }
        Ok(())
    }

    /// Changes one of sled's records.
    fn write_alone(&self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), StorageError> {
        let bytes = self.cost(&key, value.as_deref())?;
        self.make_room(bytes)?;
        match value {
            Some(value) => self.db.run("write", |db| db.insert(key, value))?,
            None => self.db.run("remove", |db| db.remove(key))?,
        };
        self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Flushes and fsyncs.
    pub(crate) fn make_durable(&self) -> Result<(), StorageError> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = self.unsynced_bytes.load(Ordering::Relaxed);
        self.db.make_durable()?; // It fails too if the one before has failed.
        self.unsynced_bytes.fetch_sub(covered, Ordering::Relaxed);
        Ok(())
    }

    fn changes(&self, batch: Batch) -> Result<Changes, StorageError> {
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = Changes::new();
        for (key, value) in batch.changes {
            if key.len() > KEY_BYTES_MAX {
                let reason = format!("a key has {} bytes, the limit is {KEY_BYTES_MAX}", key.len());
                return Err(self.db.fail(StorageError::Engine {
                    action: "write",
                    path: self.db.dir().to_owned(),
                    reason,
                }));
            }
            for piece in 0..large.remove(&key[..]).unwrap_or(0) {
                changes.insert(piece_key(&key, piece), None);
            }
            let record = match value {
                None => None,
                Some(value) if value.len() <= PIECE_BYTES => Some([&[INLINE], &value[..]].concat()),
                Some(value) => {
                    let pieces = self.cut(&key, &value, &mut changes);
                    large.insert(key.to_vec(), pieces.count);
                    Some(pieces.record)
                }
            };
            changes.insert(record_key(&key), record);
        }
        Ok(changes)
    }

    fn cut(&self, key: &[u8], value: &[u8], changes: &mut Changes) -> Pieces {
        let stamp = self.next_stamp.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut count = 0;
        for (number, bytes) in (0..).zip(value.chunks(PIECE_BYTES)) {
            changes.insert(piece_key(key, number), Some([&stamp, bytes].concat()));
            count = number + 1;
        }
        let length = (value.len() as u64).to_be_bytes();
        let checksum = crc32c::crc32c(value).to_be_bytes();
        Pieces { count, record: [&[PIECEWISE], &stamp[..], &length, &checksum].concat() }
    }

    /// The value that a record stands for.
    fn value(&self, key: &[u8], record: &IVec) -> Result<Option<Bytes>, StorageError> {
        match record.split_first() {
            Some((&INLINE, value)) => Ok(Some(Bytes::copy_from_slice(value))),
            Some((&PIECEWISE, _)) => self.large_value(key, record.clone()),
            _ => Err(self.damaged(key, "it has no known form")),
        }
    }

    /// Joins the pieces. The writer may replace the value meanwhile: then the
    /// record has changed too, and reading starts again with the new one.
    fn large_value(&self, key: &[u8], mut record: IVec) -> Result<Option<Bytes>, StorageError> {
        loop {
            let problem = match self.join(key, &record)? {
                Ok(value) => return Ok(Some(value)),
                Err(problem) => problem,
            };
            let again = self.db.run("read", |db| db.get(record_key(key)))?;
            match again {
                None => return Ok(None),
                Some(again) if again == record => return Err(self.damaged(key, problem)),
                Some(again) if again.first() == Some(&PIECEWISE) => record = again,
                Some(again) => return self.value(key, &again),
            }
        }
    }

    /// The outer error is the engine's; the inner one says why the pieces do not fit the record.
    fn join(&self, key: &[u8], record: &[u8]) -> Result<Result<Bytes, &'static str>, StorageError> {
        let Some((stamp, length, checksum)) = parse_piecewise(record) else {
            return Ok(Err("its record has the wrong length"));
        };
        let mut value = Vec::new();
        for number in 0.. {
            if value.len() as u64 >= length {
                break;
            }
            let piece = self.db.run("read", |db| db.get(piece_key(key, number)))?;
            match piece.as_deref().and_then(|piece| piece.strip_prefix(stamp)) {
                Some(bytes) if !bytes.is_empty() => value.extend_from_slice(bytes),
                _ => return Ok(Err("a piece is missing or of another value")),
            }
        }
        let fits = value.len() as u64 == length && crc32c::crc32c(&value).to_be_bytes() == checksum;
        Ok(if fits { Ok(value.into()) } else { Err("its checksum does not fit") })
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

    fn write_batch(&self, batch: Batch) -> Result<(), StorageError> {
        self.db.check()?;
        let mut bytes = 0;
        let mut writes = sled::Batch::default();
        for (key, value) in self.changes(batch)? {
            if value.is_some() && self.goes_ahead(&key)? {
                self.write_alone(key, value)?;
                continue;
            }
            bytes += self.cost(&key, value.as_deref())?;
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.make_room(bytes)?;
        self.db.run("write", |db| db.apply_batch(writes))?;
        self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this is a piece of a value whose record does not exist yet: nobody sees it before that, so it need not
    /// be written together with it. A crash in between leaves a piece that the same value, written again, replaces.
    fn goes_ahead(&self, key: &[u8]) -> Result<bool, StorageError> {
        match key {
            [PIECES, key @ .., _, _] => Ok(self.db.run("read", |db| db.contains_key(record_key(key)))?.not()),
            _ => Ok(false),
        }
    }

    /// What a change of one of sled's records counts for. A removal rewrites a page as an insertion of what is
    /// removed would.
    fn cost(&self, key: &[u8], value: Option<&[u8]>) -> Result<u64, StorageError> {
        let bytes = match value {
            Some(value) => value.len(),
            None if key.first() == Some(&PIECES) => PIECE_BYTES,
            None => self.db.run("read", |db| db.get(key))?.map_or(0, |value| value.len()),
        };
        Ok((CHANGE_BYTES + key.len() + bytes) as u64)
    }

    /// Syncs before more is written than may be unsynced: so a large batch has all the room for itself.
    fn make_room(&self, bytes: u64) -> Result<(), StorageError> {
        if self.unsynced_bytes.load(Ordering::Relaxed) + bytes > BYTES_BETWEEN_SYNCS {
            self.make_durable()?;
        }
        Ok(())
    }
}

impl Table for SledTable {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.get_value(key).map_err(told)
    }

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
            Err(error) => return Box::new(std::iter::once(Err(told(error)))),
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
                    Err(error) => return Some(Err(told(error))),
                }
            }
            None
        }))
    }

    fn write(&self, batch: Batch) -> Result<(), TableError> {
        self.write_batch(batch).map_err(told)
    }

    fn sync(&self) -> Result<(), TableError> {
        self.make_durable().map_err(told)
    }

    fn weight(&self, key: &[u8]) -> Result<usize, TableError> {
        let large = self.large.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        match large {
            Some(pieces) => Ok(pieces as usize * PIECE_BYTES),
            None => {
                let record = self.db.run("read", |db| db.get(record_key(key))).map_err(told)?;
                Ok(record.map_or(0, |record| record.len()))
            }
        }
    }

    fn size_on_disk(&self) -> Result<u64, TableError> {
        self.db.size_on_disk().map_err(told)
    }
}

impl SledTable {
    /// The next record of a scan; its value is `None` if it was removed meanwhile.
    fn next_record(&self, records: &mut sled::Iter) -> Result<Option<(Bytes, Option<Bytes>)>, StorageError> {
        let Some((key, record)) = self.db.run("scan", |_| records.next().transpose())? else {
            return Ok(None);
        };
        let key = Bytes::copy_from_slice(key.get(1..).unwrap_or_default());
        let value = self.value(&key, &record)?;
        Ok(Some((key, value)))
    }
}

struct Pieces {
    count: u32,
    record: Vec<u8>,
}

fn record_key(key: &[u8]) -> Vec<u8> {
    [&[RECORDS], key].concat()
}

/// The number has a fixed length, so the pieces of different keys never meet.
fn piece_key(key: &[u8], number: u32) -> Vec<u8> {
    [&[PIECES], key, &number.to_be_bytes()[2..]].concat()
}

/// Stamp, length and checksum of a large value.
fn parse_piecewise(record: &[u8]) -> Option<(&[u8], u64, [u8; 4])> {
    let (stamp, rest) = record.get(1..)?.split_at_checked(8)?;
    let (length, checksum) = rest.split_at_checked(8)?;
    Some((stamp, u64::from_be_bytes(length.try_into().ok()?), checksum.try_into().ok()?))
}

fn find_large(db: &SledDb) -> Result<BTreeMap<Vec<u8>, u32>, StorageError> {
    let mut large = BTreeMap::new();
    let mut pieces = db.run("scan", |db| Ok(db.scan_prefix([PIECES])))?;
    while let Some((key, _)) = db.run("scan", |_| pieces.next().transpose())? {
        if let Some(key) = key.get(1..key.len() - 2) {
            *large.entry(key.to_vec()).or_default() += 1;
        }
    }
    Ok(large)
}

/// sled panics on an inverted range.
fn is_empty(start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
        _ => false,
    }
}

fn told(error: StorageError) -> TableError {
    TableError(error.to_string())
}
