//! A small table: a map from keys to values, all of it in memory.
//!
//! ```text
//! record = present(1) key_bytes key value
//! ```
//!
//! A later record of a key replaces the earlier one, which stays readable only for views that were taken
//! before.

use crate::kv::codec::{DecodeError, Reader, Writer};
use crate::kv::index::CHUNK_KEYS;
use crate::kv::readers::Readers;
use crate::kv::work::{self, Meter};
use crate::kv::{ReadError, TableError};
use crate::machine::meta::Meta;
use crate::machine::state_table::{Extent, Fate, Garbage, StateTable};
use crate::machine::stored::{Ordinal, Stored, TableId};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) struct Keyed {
    id: TableId,
    /// Up to which records views exist.
    readers: Arc<Readers<Ordinal>>,
    records: RwLock<Records>,
}

#[derive(Default)]
struct Records {
    /// Of each key the newest record, and earlier ones that a view may need, oldest first; never none.
    by_key: BTreeMap<Bytes, Vec<Item>>,
    /// The records that replace another or remove their key, oldest first: when no view is older, what was
    /// before them can go.
    ending: VecDeque<(Ordinal, Bytes)>,
}

struct Item {
    at: Ordinal,
    /// None: the key was removed.
    value: Option<Bytes>,
}

/// A record, and what it does to others.
pub(crate) struct Change {
    pub(crate) record: Stored,
    /// The places of records that do not count any more, perhaps its own.
    pub(crate) dead: Vec<Ordinal>,
}

impl Keyed {
    pub(crate) fn new(id: TableId, readers: Arc<Readers<Ordinal>>) -> Self {
        Self { id, readers, records: RwLock::default() }
    }

    /// The value of a key after the record at a place.
    pub(crate) fn get(&self, key: &[u8], through: Ordinal) -> Option<Bytes> {
        as_of(self.read().by_key.get(key)?, through)?.value.clone()
    }

    /// Sets the value of a key, or removes it, by a record at a place behind all others. Copies both, so that they do
    /// not pin the buffer in which they came.
    pub(crate) fn set(&self, at: Ordinal, key: &[u8], value: Option<&[u8]>) -> Change {
        let bytes = encode(key, value);
        let (key, value) = decode(&bytes).expect("it was just encoded");
        let dead = value.is_none().then_some(at);
        let replaced = self.write().push(key, Item { at, value });
        let record = Stored { table: self.id, at, bytes };
        Change { record, dead: dead.into_iter().chain(replaced).collect() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Records> {
        // A writer that panicked has ended the node; until then its readers may go on.
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Records> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn decode(&self, record: &Stored) -> Result<(Bytes, Option<Bytes>), TableError> {
        let damaged = |error| TableError(format!("the record at {} of {:?}: {error}", record.at, self.id));
        decode(&record.bytes).map_err(damaged)
    }
}

impl StateTable for Keyed {
    fn load(&mut self, record: &Stored) -> Result<(), TableError> {
        // A copy, so that it does not pin its block.
        let bytes = Bytes::copy_from_slice(&record.bytes);
        let (key, value) = self.decode(&Stored { bytes, ..record.clone() })?;
        self.write().push(key, Item { at: record.at, value });
        Ok(())
    }

    fn loaded(&mut self, meta: &Meta, live: &mut dyn FnMut(Ordinal)) -> Vec<Garbage> {
        let mut garbage = Vec::new();
        // There is no view yet.
        let mut records = self.write();
        records.collect(meta.last, usize::MAX, &mut garbage);
        records.by_key.values().flatten().for_each(|item| live(item.at));
        garbage
    }

    fn shows(&self, record: &Stored, extent: &Extent) -> Result<bool, TableError> {
        let (key, value) = self.decode(record)?;
        let records = self.read();
        let newest = records.by_key.get(&key).and_then(|items| as_of(items, extent.through));
        Ok(value.is_some() && newest.is_some_and(|newest| newest.at == record.at))
    }

    fn shown(&self, extent: &Extent, meter: &mut Meter<'_>) -> Result<u64, ReadError> {
        let (mut count, mut after) = (0, Bound::Unbounded);
        loop {
            meter.spend(CHUNK_KEYS as u64 * work::KEY)?;
            let records = self.read();
            let chunk = records.by_key.range((after, Bound::Unbounded)).take(CHUNK_KEYS);
            let mut last = None;
            for (key, items) in chunk {
                count += u64::from(as_of(items, extent.through).is_some_and(|item| item.value.is_some()));
                last = Some(key);
            }
            let Some(last) = last else { return Ok(count) };
            after = Bound::Excluded(last.clone());
        }
    }

    fn collect(&self, _meta: &mut Meta, shown: &Meta, budget: usize, garbage: &mut Vec<Garbage>) -> bool {
        let (through, before) = (self.readers.collect(shown.last), garbage.len());
        self.write().collect(through, budget, garbage);
        garbage.len() > before
    }

    fn is_behind(&self, _meta: &Meta, shown: &Meta) -> bool {
        self.read().ending.front().is_some_and(|(at, _)| *at <= shown.last)
    }

    fn fate(&self, record: &Stored) -> Result<Fate, TableError> {
        let (key, value) = self.decode(record)?;
        let records = self.read();
        let kept = |items: &Vec<Item>| items.iter().any(|item| item.at == record.at);
        Ok(match records.by_key.get(&key) {
            Some(items) if kept(items) => Fate::Live,
            _ if value.is_none() => Fate::Tombstone,
            _ => Fate::Garbage,
        })
    }
}

impl Records {
    /// Adds a record. Returns the place of the one that it replaces, or whose key it removes.
    fn push(&mut self, key: Bytes, item: Item) -> Option<Ordinal> {
        let (at, removes) = (item.at, item.value.is_none());
        let items = self.by_key.entry(key.clone()).or_default();
        let replaced = items.last().filter(|last| last.value.is_some()).map(|last| last.at);
        items.push(item);
        if replaced.is_some() || removes {
            self.ending.push_back((at, key));
        }
        replaced
    }

    /// Drops what only views from before a place can see.
    fn collect(&mut self, through: Ordinal, budget: usize, garbage: &mut Vec<Garbage>) {
        for _ in 0..budget {
            let Some((at, key)) = self.ending.pop_front_if(|(at, _)| *at <= through) else { return };
            let Some(items) = self.by_key.get_mut(&key) else { continue };
            let over = |item: &Item| item.at < at || item.at == at && item.value.is_none();
            let count = items.partition_point(over);
            let dropped = items.drain(..count);
            garbage.extend(dropped.map(|item| Garbage { at: item.at, tombstone: item.value.is_none() }));
            if items.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }
}

/// The newest record up to a place.
fn as_of(items: &[Item], through: Ordinal) -> Option<&Item> {
    items.iter().rfind(|item| item.at <= through)
}

fn encode(key: &[u8], value: Option<&[u8]>) -> Bytes {
    let mut out = Writer::with_capacity(16 + key.len() + value.map_or(0, <[u8]>::len));
    out.byte(value.is_some().into());
    out.bytes(key);
    out.bytes(value.unwrap_or_default());
    out.finish()
}

/// Key and value, as slices.
fn decode(bytes: &Bytes) -> Result<(Bytes, Option<Bytes>), DecodeError> {
    let mut from = Reader::new(bytes);
    let present = from.byte()?;
    let (key, value) = (from.bytes()?, from.bytes()?);
    from.end()?;
    match present {
        0 => Ok((key, None)),
        1 => Ok((key, Some(value))),
        _ => Err(from.refuse("an unknown flag")),
    }
}
