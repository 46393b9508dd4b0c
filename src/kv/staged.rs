//! What is applied but not yet in the table.

use crate::kv::meta::Meta;
use crate::kv::table::Batch;
use crate::kv::version::Position;
use bytes::Bytes;

/// The most changes in a batch, unless one entry makes more.
const BATCH_CHANGES: usize = 128;
/// The most bytes in a batch, unless one entry has more.
const BATCH_BYTES: usize = 1 << 20;

/// New records in order, cut into batches where one entry ends and the next begins.
#[derive(Default)]
pub(crate) struct Staged {
    records: Vec<(Position, Bytes)>,
    /// Where the finished batches end, and the meta record that goes with each.
    cuts: Vec<(usize, Meta)>,
    /// The batch being filled: where it starts, its bytes, the state after its last entry.
    batch_start: usize,
    batch_bytes: usize,
    batch_meta: Option<Meta>,
    /// The entry being applied: where it starts, its bytes.
    entry_start: usize,
    entry_bytes: usize,
}

impl Staged {
    /// Adds a record of the entry being applied.
    pub(crate) fn push(&mut self, at: Position, record: Bytes) {
        debug_assert!(self.records.last().is_none_or(|(last, _)| *last < at), "records are made in order");
        self.entry_bytes += record.len();
        self.records.push((at, record));
    }

    /// The record at a position, if it is not in the table yet.
    pub(crate) fn get(&self, at: Position) -> Option<&Bytes> {
        let place = self.records.binary_search_by_key(&at, |(position, _)| *position).ok()?;
        Some(&self.records[place].1)
    }

    /// The records of the entry being applied.
    pub(crate) fn entry(&self) -> &[(Position, Bytes)] {
        &self.records[self.entry_start..]
    }

    /// How many bytes these have.
    pub(crate) fn entry_bytes(&self) -> usize {
        self.entry_bytes
    }

    /// Takes back the records of the entry being applied.
    pub(crate) fn undo_entry(&mut self) {
        self.records.truncate(self.entry_start);
        self.entry_bytes = 0;
    }

    /// The entry is complete; `meta` is the state after it.
    pub(crate) fn end_entry(&mut self, meta: &Meta) {
        let changes = self.records.len() - self.batch_start + 1;
        let bytes = self.batch_bytes + self.entry_bytes;
        if changes > BATCH_CHANGES || bytes > BATCH_BYTES {
            self.cut();
        }
        self.batch_bytes += self.entry_bytes;
        self.batch_meta = Some(meta.clone());
        self.entry_start = self.records.len();
        self.entry_bytes = 0;
    }

    /// Ends the batch before the entry being applied, if it has an entry at all.
    fn cut(&mut self) {
        if let Some(meta) = self.batch_meta.take() {
            self.cuts.push((self.entry_start, meta));
            self.batch_start = self.entry_start;
            self.batch_bytes = 0;
        }
    }

    /// Everything, in batches to be written one after the other.
    pub(crate) fn take_batches(&mut self) -> Vec<Batch> {
        self.cut();
        let mut records = std::mem::take(&mut self.records).into_iter();
        let mut written = 0;
        let batches = std::mem::take(&mut self.cuts).into_iter().map(|(end, meta)| {
            let changes = records
                .by_ref()
                .take(end - written)
                .map(|(at, record)| (Bytes::copy_from_slice(&at.table_key()), Some(record)));
            let meta = (Bytes::from_static(&Meta::TABLE_KEY), Some(meta.encode()));
            written = end;
            Batch { changes: changes.chain([meta]).collect() }
        });
        let batches = batches.collect();
        *self = Self::default();
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EntryId, Revision};

    /// Applies entries with so many records of so many bytes and answers the
    /// sizes of the batches in changes, each with the entry its meta record names.
    fn batches(entries: &[(u32, usize)]) -> Vec<(usize, u64)> {
        let mut staged = Staged::default();
        for (index, (records, bytes)) in (1..).zip(entries) {
            for sub in 0..*records {
                staged.push(Position { revision: Revision(index), sub }, Bytes::from(vec![0; *bytes]));
            }
            staged.end_entry(&Meta { applied: EntryId::new(1, index), ..Meta::default() });
        }
        let sizes = staged.take_batches().into_iter().map(|batch| {
            let meta = batch.changes.last().and_then(|(_, meta)| meta.clone()).unwrap();
            (batch.changes.len(), Meta::decode(&meta).unwrap().applied.index.get())
        });
        sizes.collect()
    }

    #[test]
    fn nothing_makes_no_batch_and_an_empty_entry_makes_one() {
        assert_eq!(batches(&[]), []);
        assert_eq!(batches(&[(0, 0), (0, 0)]), [(1, 2)]);
    }

    #[test]
    fn batches_end_between_entries() {
        assert_eq!(batches(&[(100, 1), (27, 1), (1, 1)]), [(128, 2), (2, 3)]);
        assert_eq!(batches(&[(100, 1), (28, 1), (99, 1), (1, 1)]), [(101, 1), (128, 3), (2, 4)]);
        assert_eq!(batches(&[(1, 600 << 10), (1, 600 << 10)]), [(2, 1), (2, 2)]);
    }

    #[test]
    fn a_large_entry_is_never_cut() {
        assert_eq!(batches(&[(1, 1), (1000, 1), (1, 1)]), [(2, 1), (1001, 2), (2, 3)]);
    }
}
