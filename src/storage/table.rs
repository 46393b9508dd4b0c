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
use crate::storage::home::Home;
use crate::storage::state_file::StateFile;
use bytes::Bytes;
use sled::IVec;
use std::ops::Bound;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const RECORDS: u8 = 0;
const PIECES: u8 = 1;
const INLINE: u8 = 0;
const PIECEWISE: u8 = 1;

/// The most bytes of a value in one record: 21 of them with their keys (a full page) stay below a quarter of
/// a segment, since sled rewrites a page as a whole.
const PIECE_BYTES: usize = 8 << 10;

/// The longest key: 321 of them (a full index page) stay below a quarter of a segment.
const KEY_BYTES_MAX: usize = 256;

/// The state's records in sled.
#[derive(Debug)]
pub(crate) struct SledTable {
    home: Home,
}

impl SledTable {
    pub(crate) fn new(file: StateFile) -> Result<Self, StorageError> {
        let table = Self { home: Home::new(file) };
        table.remove_orphans()?;
        Ok(table)
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Adds records to a table that nobody reads yet.
    pub(crate) fn load(&self, records: Vec<(Bytes, Bytes)>) -> Result<(), StorageError> {
        records.into_iter().try_for_each(|(key, value)| self.set_value(&key, &value))
    }

    /// Flushes and fsyncs.
    pub(crate) fn make_durable(&self) -> Result<(), StorageError> {
        self.home.make_durable()
    }

    fn set_value(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if key.len() > KEY_BYTES_MAX {
            let reason = format!("a key has {} bytes, the limit is {KEY_BYTES_MAX}", key.len());
            let file = self.home.file();
            let path = file.db().dir().to_owned();
            return Err(file.db().fail(StorageError::Engine { action: "write", path, reason }));
        }
        let record = if value.len() <= PIECE_BYTES {
            [&[INLINE], value].concat()
        } else {
            let pieces = Pieces { stamp: xxh3_64(value), length: value.len() as u64 };
            for (number, bytes) in (0..).zip(value.chunks(PIECE_BYTES)) {
                let key = pieces.key(key, number);
                self.home.insert(&key, bytes)?;
            }
            pieces.record()
        };
        let old = self.home.insert(&record_key(key), &record)?;
        self.remove_pieces(key, old.filter(|old| *old != record))
    }

    fn remove_value(&self, key: &[u8]) -> Result<(), StorageError> {
        let old = self.home.remove(&record_key(key), PIECE_BYTES)?;
        self.remove_pieces(key, old)
    }

    /// Removes the pieces that a record named.
    fn remove_pieces(&self, key: &[u8], record: Option<IVec>) -> Result<(), StorageError> {
        let Some(pieces) = record.and_then(|record| Pieces::of(&record)) else { return Ok(()) };
        for number in 0..pieces.count() {
            self.home.remove(&pieces.key(key, number), PIECE_BYTES)?;
        }
        Ok(())
    }

    /// Removes the pieces that no record names.
    fn remove_orphans(&self) -> Result<(), StorageError> {
        let mut orphans = Vec::new();
        let file = self.home.file();
        let mut pieces = file.range((Bound::Included(vec![PIECES]), Bound::Excluded(vec![PIECES + 1])))?;
        let mut named: Option<(Vec<u8>, bool)> = None;
        while let Some((piece, _)) = file.db().run("scan", |_| pieces.next().transpose())? {
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
            self.home.remove(&orphan, PIECE_BYTES)?;
        }
        Ok(())
    }

    /// Whether the record names these pieces; `value` is the key of a piece without its number.
    fn is_named(&self, value: &[u8]) -> Result<bool, StorageError> {
        let Some((key, stamp)) = value[1..].split_last_chunk() else { return Ok(false) };
        let record = self.home.file().get(&record_key(key))?;
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
            let again = self.home.file().get(&record_key(key))?;
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
            let Some(piece) = self.home.file().get(&pieces.key(key, number))? else {
                return Ok(None);
            };
            value.extend_from_slice(&piece);
        }
        let fits = value.len() as u64 == pieces.length && xxh3_64(&value) == pieces.stamp;
        Ok(fits.then(|| value.into()))
    }

    fn damaged(&self, key: &[u8], reason: &str) -> StorageError {
        let record = format!("the value of key {:?}", Bytes::copy_from_slice(key));
        let file = self.home.file();
        file.db().fail(StorageError::damaged(file.db().dir(), record, reason))
    }

    fn get_value(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self.home.file().get(&record_key(key))? {
            None => Ok(None),
            Some(record) => self.value(key, &record),
        }
    }

    /// The next record of a scan; its value is `None` if it was removed meanwhile.
    fn next_record(
        &self,
        file: &StateFile,
        records: &mut sled::Iter,
    ) -> Result<Option<(Bytes, Option<Bytes>)>, StorageError> {
        let Some((key, record)) = file.db().run("scan", |_| records.next().transpose())? else {
            return Ok(None);
        };
        file.db().count_scanned(&key)?;
        let key = Bytes::copy_from_slice(key.get(1..).unwrap_or_default());
        let value = self.value(&key, &record)?;
        Ok(Some((key, value)))
    }
}

impl Table for SledTable {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.get_value(key).map_err(table_error)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_> {
        let start = start.map(record_key);
        let start = if start == Bound::Unbounded { Bound::Included(vec![RECORDS]) } else { start };
        let end = end.map(record_key);
        let end = if end == Bound::Unbounded { Bound::Excluded(vec![PIECES]) } else { end };
        if is_empty(&start, &end) {
            return Box::new(std::iter::empty());
        }
        let file = Arc::clone(&self.home.file());
        let mut records = match file.range((start, end)) {
            Ok(records) => records,
            Err(error) => return Box::new(std::iter::once(Err(table_error(error)))),
        };
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            while !ended {
                let step = self.next_record(&file, &mut records);
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

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        self.set_value(key, value).map_err(table_error)
    }

    fn remove(&self, key: &[u8]) -> Result<(), TableError> {
        self.remove_value(key).map_err(table_error)
    }

    fn sync(&self) -> Result<(), TableError> {
        self.make_durable().map_err(table_error)
    }

    fn size_on_disk(&self) -> Result<u64, TableError> {
        self.home.size_on_disk().map_err(table_error)
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
