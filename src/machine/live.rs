//! Everything that can be read, directly from the table.

use crate::kv::horizon::Horizon;
use crate::kv::index::CHUNK_KEYS;
use crate::kv::readers::Reading;
use crate::kv::record;
use crate::kv::version::Position;
use crate::kv::work::{self, Caller, Meter, Patient};
use crate::kv::{ReadError, TableError};
use crate::machine::blocks::Stored;
use crate::machine::machine::hash_record;
use crate::machine::tables::TableId;
use crate::machine::view::View;
use crate::types::Revision;
use std::fmt;
use std::ops::ControlFlow;
use std::vec;
use xxhash_rust::xxh3::Xxh3;

/// A hash over all versions of keys that can still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateHash {
    /// The revision up to which versions are included.
    pub revision: Revision,
    /// The compaction from which on they are included.
    pub compact_revision: Revision,
    pub hash: u128,
    pub records: u64,
}

impl View {
    /// Reads everything up to a revision (`None`: the newest) from the table and
    /// hashes it. Takes long: not to be called on the loop.
    ///
    /// Nodes with equal revision and compact revision have equal hashes. Nothing that it needs
    /// is removed while it runs.
    pub fn hash(&self, revision: Option<Revision>) -> Result<StateHash, ReadError> {
        self.hash_for(&Patient, revision)
    }

    /// The same, for as long as the caller waits.
    pub fn hash_for(&self, caller: &dyn Caller, revision: Option<Revision>) -> Result<StateHash, ReadError> {
        let through = self.horizon().readable(revision)?;
        let (mut hasher, mut records) = (Xxh3::new(), 0);
        let mut meter = Meter::of_read(caller);
        for record in LiveRecords::new(self, through, &mut meter)? {
            let record = record?;
            meter.spend(work::value(u32::try_from(record.bytes.len()).unwrap_or(u32::MAX)))?;
            hash_record(&mut hasher, &record);
            records += 1;
        }
        let hash = hasher.digest128();
        Ok(StateHash { revision: through, compact_revision: self.compact_revision(), hash, records })
    }
}

/// All records that a read at some revision of the view, up to `through`, can see; an error if one is missing.
pub(crate) struct LiveRecords {
    view: View,
    through: Revision,
    /// Keeps the records from being removed, so that a missing one means damage.
    _reading: Reading,
    /// The position of the last record read, or the one before all.
    last: Position,
    some: vec::IntoIter<Stored>,
    /// How many records are still to come.
    missing: u64,
    done: bool,
}

impl LiveRecords {
    pub(crate) fn new(view: &View, through: Revision, meter: &mut Meter<'_>) -> Result<Self, ReadError> {
        let reading = view.readers.begin(view.compact_revision())?;
        let (last, some) = (Position::first_of(Revision(0)), Vec::new().into_iter());
        let missing = count(view.horizon(), through, meter)?;
        Ok(Self { view: view.clone(), through, _reading: reading, last, some, missing, done: false })
    }

    /// The next record that can be read.
    fn find(&mut self) -> Result<Option<Stored>, TableError> {
        loop {
            let Some(stored) = self.some.next() else {
                let some = self.view.store.records_after(self.last)?;
                let Some(last) = some.last() else { return self.end() };
                self.last = last.at;
                self.some = some.into_iter();
                continue;
            };
            if stored.at.revision > self.through {
                return self.end();
            }
            if self.is_live(&stored)? {
                self.missing = self.missing.saturating_sub(1);
                return Ok(Some(stored));
            }
        }
    }

    /// Garbage (a version that was replaced or deleted at or below the compaction) is left out, whether this
    /// node has removed it or not.
    fn is_live(&self, stored: &Stored) -> Result<bool, TableError> {
        let TableId::Versions = stored.table;
        let compacted = self.view.compact_revision();
        let record = record::decode(stored.at, &stored.bytes)?;
        if record.version.revision > compacted {
            return Ok(true);
        }
        let index = self.view.index.read();
        let at_compaction = index.history(&record.key).and_then(|history| history.at(compacted));
        Ok(at_compaction == Some(record.version) && !record.version.is_tombstone())
    }

    fn end(&self) -> Result<Option<Stored>, TableError> {
        match self.missing {
            0 => Ok(None),
            missing => {
                let failure = TableError(format!("{missing} records of revisions are missing"));
                self.view.store.noted(Err(failure))
            }
        }
    }
}

impl Iterator for LiveRecords {
    type Item = Result<Stored, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let found = self.find().transpose();
        self.done = !matches!(found, Some(Ok(_)));
        found
    }
}

impl fmt::Debug for LiveRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveRecords")
            .field("last", &self.last)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

/// How many versions can be read according to the index.
fn count(horizon: Horizon<'_>, through: Revision, meter: &mut Meter<'_>) -> Result<u64, ReadError> {
    let (mut records, mut next) = (0, Some(Box::default()));
    while let Some(start) = next {
        meter.spend(CHUNK_KEYS as u64 * work::KEY)?;
        next = horizon.index.read().walk_histories(&start, CHUNK_KEYS, &mut |_, history| {
            let readable = history.garbage(horizon.revisions.compacted)..history.count_through(through);
            records += readable.len() as u64;
            ControlFlow::Continue(())
        });
    }
    Ok(records)
}
