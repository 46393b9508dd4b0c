//! Everything that can be read, directly from the table.

use crate::kv::readers::Reading;
use crate::kv::work::{self, Caller, Meter, Patient};
use crate::kv::{ReadError, TableError};
use crate::machine::state_table::Extent;
use crate::machine::stored::{Ordinal, Stored, TableId};
use crate::machine::view::View;
use crate::types::Revision;
use std::fmt;
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
        // What has no history has no state at a revision, either: the rolling hash has that.
        let tables = &[TableId::Versions];
        for record in LiveRecords::new(self, tables, Ordinal::end_of(through), &mut meter)? {
            let record = record?;
            meter.spend(work::value(u32::try_from(record.bytes.len()).unwrap_or(u32::MAX)))?;
            record.hash(&mut hasher);
            records += 1;
        }
        let hash = hasher.digest128();
        Ok(StateHash { revision: through, compact_revision: self.compact_revision(), hash, records })
    }
}

/// The records of some tables that show in an extent of the state, in order; an error if one is missing.
pub(crate) struct LiveRecords {
    /// Keeps the records from being removed, so that a missing one means damage.
    view: View,
    _reading: Reading<Revision>,
    tables: &'static [TableId],
    extent: Extent,
    /// The place of the last record read, or before all.
    last: Ordinal,
    some: vec::IntoIter<Stored>,
    /// How many records are still to come.
    missing: u64,
    done: bool,
}

impl LiveRecords {
    /// `through` is not behind the view's end.
    pub(crate) fn new(
        view: &View,
        tables: &'static [TableId],
        through: Ordinal,
        meter: &mut Meter<'_>,
    ) -> Result<Self, ReadError> {
        let extent = Extent { through, compacted: view.compact_revision() };
        let _reading = view.tables.versions.keep(extent.compacted)?;
        let mut missing = 0;
        for table in tables {
            missing += view.tables.table(*table).shown(&extent, meter)?;
        }
        let (view, last, some) = (view.clone(), Ordinal::START, Vec::new().into_iter());
        Ok(Self { view, _reading, tables, extent, last, some, missing, done: false })
    }

    /// The next record that shows.
    fn find(&mut self) -> Result<Option<Stored>, TableError> {
        loop {
            let Some(stored) = self.some.next() else {
                let some = self.view.store.records_after(self.last)?;
                let Some(last) = some.last() else { return self.end() };
                self.last = last.at;
                self.some = some.into_iter();
                continue;
            };
            if stored.at > self.extent.through {
                return self.end();
            }
            let table = self.view.tables.table(stored.table);
            if self.tables.contains(&stored.table) && table.shows(&stored, &self.extent)? {
                self.missing = self.missing.saturating_sub(1);
                return Ok(Some(stored));
            }
        }
    }

    fn end(&self) -> Result<Option<Stored>, TableError> {
        match self.missing {
            0 => Ok(None),
            missing => {
                let failure = TableError(format!("{missing} records are missing"));
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
