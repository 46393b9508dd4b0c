//! The versions of all keys: the table with a history of its own ([`kv`](crate::kv)).

use crate::kv::draft::Changes;
use crate::kv::horizon::{Horizon, Values};
use crate::kv::index::{CHUNK_KEYS, SharedIndex};
use crate::kv::index_builder::{Built, IndexBuilder};
use crate::kv::readers::{Readers, Reading};
use crate::kv::record::{self, Record};
use crate::kv::revisions::Revisions;
use crate::kv::version::{Position, Version};
use crate::kv::work::{self, Meter};
use crate::kv::{ReadError, Refusal, TableError};
use crate::machine::blocks::Store;
use crate::machine::meta::Meta;
use crate::machine::state_table::{Extent, Fate, Garbage, StateTable};
use crate::machine::stored::{Ordinal, Stored, TableId};
use crate::types::Revision;
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What is known of them in memory.
pub(crate) struct Versions {
    pub(crate) index: SharedIndex,
    readers: Arc<Readers<Revision>>,
    /// Used at a start only.
    builder: IndexBuilder,
}

impl Versions {
    pub(crate) fn with_capacity(records: u64) -> Self {
        let builder = IndexBuilder::with_capacity(records);
        Self { index: SharedIndex::default(), readers: Readers::new(Revision(0)), builder }
    }

    /// What a read may see.
    pub(crate) fn horizon(&self, revisions: Revisions) -> Horizon<'_> {
        Horizon { index: &self.index, revisions, newest: revisions.current }
    }

    /// Keeps what a read at a revision needs. Refused if some of that may have been removed already.
    pub(crate) fn keep(&self, revision: Revision) -> Result<Reading<Revision>, Refusal> {
        let begun = self.readers.begin(revision);
        begun.map_err(|oldest| Refusal::Compacted { requested: revision, oldest })
    }
}

impl StateTable for Versions {
    fn load(&mut self, record: &Stored) -> Result<(), TableError> {
        let (key, version) = record::decode_version(position(record.at)?, &record.bytes)?;
        self.builder.push(key, version);
        Ok(())
    }

    fn loaded(&mut self, meta: &Meta, live: &mut dyn FnMut(Ordinal)) -> Vec<Garbage> {
        let builder = std::mem::take(&mut self.builder);
        let live = &mut |version: &Version| live(place(version.position()));
        let Built { index, garbage } = builder.finish(&meta.collected, meta.revisions.current, live);
        self.index = SharedIndex::new(index);
        self.readers.collect(meta.collected.reach());
        garbage.into_iter().map(|(at, tombstone)| Garbage { at: place(at), tombstone }).collect()
    }

    /// A version that was replaced or deleted at or below the compaction is not shown, whether this node has
    /// removed it or not.
    fn shows(&self, stored: &Stored, extent: &Extent) -> Result<bool, TableError> {
        let record = record::decode(position(stored.at)?, &stored.bytes)?;
        if record.version.revision > extent.compacted {
            return Ok(true);
        }
        let index = self.index.read();
        let at_compaction = index.history(&record.key).and_then(|history| history.at(extent.compacted));
        Ok(at_compaction == Some(record.version) && !record.version.is_tombstone())
    }

    fn shown(&self, extent: &Extent, meter: &mut Meter<'_>) -> Result<u64, ReadError> {
        let (mut records, mut next) = (0, Some(Box::default()));
        while let Some(start) = next {
            meter.spend(CHUNK_KEYS as u64 * work::KEY)?;
            next = self.index.read().walk_histories(&start, CHUNK_KEYS, &mut |_, history| {
                let through = history.count_through(extent.through.revision);
                records += (history.garbage(extent.compacted)..through).len() as u64;
                ControlFlow::Continue(())
            });
        }
        Ok(records)
    }

    fn collect(&self, meta: &mut Meta, shown: &Meta, budget: usize, garbage: &mut Vec<Garbage>) -> bool {
        // Not a compaction that is merely applied: the newest view that readers have does not include it, and
        // must go on answering.
        let target = shown.revisions.compacted;
        let collectable = self.readers.collect(target);
        if !meta.collected.is_behind(collectable) {
            return false;
        }
        for (at, tombstone) in meta.collected.step(&self.index, collectable, budget) {
            meta.inventory.remove(TableId::Versions, place(at));
            garbage.push(Garbage { at: place(at), tombstone });
        }
        true
    }

    fn is_behind(&self, meta: &Meta, shown: &Meta) -> bool {
        meta.collected.is_behind(shown.revisions.compacted)
    }

    fn fate(&self, stored: &Stored) -> Result<Fate, TableError> {
        let at = position(stored.at)?;
        let record = record::decode(at, &stored.bytes)?;
        let index = self.index.read();
        Ok(match index.history(&record.key) {
            Some(history) if history.contains(at) => Fate::Live,
            _ if record.version.is_tombstone() => Fate::Tombstone,
            _ => Fate::Garbage,
        })
    }
}

/// The records of the entry being applied, and all earlier ones.
pub(crate) struct EntryChanges<'a> {
    store: &'a Store,
    pub(crate) count: usize,
    bytes: usize,
}

impl<'a> EntryChanges<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, count: 0, bytes: 0 }
    }

    pub(crate) fn take_back(&mut self) {
        self.store.take_back(self.count);
        self.count = 0;
    }
}

impl Changes for EntryChanges<'_> {
    fn push(&mut self, at: Position, bytes: Bytes) {
        self.count += 1;
        self.bytes += bytes.len();
        self.store.push(Stored { table: TableId::Versions, at: place(at), bytes });
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Values for EntryChanges<'_> {
    fn record(&self, at: Position) -> Result<Record, ReadError> {
        self.store.record(at)
    }
}

impl Values for Store {
    fn record(&self, at: Position) -> Result<Record, ReadError> {
        Ok(record::decode(at, &self.read(place(at))?)?)
    }

    fn records(&self, at: &[Position]) -> Result<Vec<Record>, ReadError> {
        let places: Vec<_> = at.iter().map(|at| place(*at)).collect();
        let bytes = self.read_many(&places)?;
        at.iter().zip(bytes).map(|(at, bytes)| Ok(record::decode(*at, &bytes)?)).collect()
    }
}

/// The changes of a revision precede all records that leave it as it is.
fn place(at: Position) -> Ordinal {
    Ordinal { revision: at.revision, step: at.sub.into() }
}

fn position(at: Ordinal) -> Result<Position, TableError> {
    let sub = u32::try_from(at.step);
    let sub = sub.map_err(|_| TableError(format!("{at} cannot be the place of a key's version")))?;
    Ok(Position { revision: at.revision, sub })
}
