//! A [`Table`] in memory.

use crate::kv::TableError;
use crate::machine::table::{Scan, Table};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A sorted map in memory, for tests and simulation. Syncing does nothing.
#[derive(Debug, Default)]
pub struct MemoryTable {
    records: RwLock<BTreeMap<Bytes, Bytes>>,
}

impl MemoryTable {
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Bytes, Bytes>> {
        // No code panics between two changes that belong together.
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Bytes, Bytes>> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table for MemoryTable {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        Ok(self.read().get(key).cloned())
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Scan<'_> {
        // The lock is taken again for each record, so that a scan holds up no writer.
        let mut start = start.map(Bytes::copy_from_slice);
        let end = end.map(Bytes::copy_from_slice);
        Box::new(std::iter::from_fn(move || {
            if is_empty(&start, &end) {
                return None;
            }
            let next = self
                .read()
                .range((start.clone(), end.clone()))
                .next()
                .map(|(key, value)| (key.clone(), value.clone()))?;
            start = Bound::Excluded(next.0.clone());
            Some(Ok(next))
        }))
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.write().insert(key, value);
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<(), TableError> {
        self.write().remove(key);
        Ok(())
    }

    fn sync(&self) -> Result<(), TableError> {
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, TableError> {
        Ok(self.read().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

/// `BTreeMap::range` panics if the start is after the end, and if both exclude the same key.
fn is_empty(start: &Bound<Bytes>, end: &Bound<Bytes>) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
