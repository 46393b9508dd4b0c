//! The tables of the state.
//!
//! A new table is a number ([`TableId`]), a field here and a line in each of the functions that name them all:
//! then its records are staged, counted, hashed, written, exported, loaded and collected like all others. A
//! small one is [`Keyed`]; anything else implements [`StateTable`].

mod keyed;
mod versions;

pub(crate) use keyed::{Change, Keyed};
pub(crate) use versions::{EntryChanges, Versions};

use crate::kv::TableError;
use crate::kv::readers::{Readers, Reading};
use crate::machine::inventory::Inventory;
use crate::machine::meta::Meta;
use crate::machine::state_table::{Garbage, StateTable};
use crate::machine::stored::{Ordinal, Stored, TableId};
use std::sync::Arc;

/// All tables, shared by the state machine and its views.
pub(crate) struct Tables {
    pub(crate) versions: Versions,
    /// One record, without a key: the replica encodes all members as one value.
    pub(crate) members: Keyed,
    /// Up to which records the state is being read, for all but the versions of keys.
    places: Arc<Readers<Ordinal>>,
}

impl Tables {
    /// Empty, with room for about so many records.
    pub(crate) fn with_capacity(records: u64) -> Self {
        let places = Readers::new(Ordinal::START);
        let members = Keyed::new(TableId::Members, Arc::clone(&places));
        Self { versions: Versions::with_capacity(records), members, places }
    }

    pub(crate) fn table(&self, id: TableId) -> &dyn StateTable {
        match id {
            TableId::Versions => &self.versions,
            TableId::Members => &self.members,
        }
    }

    fn table_mut(&mut self, id: TableId) -> &mut dyn StateTable {
        match id {
            TableId::Versions => &mut self.versions,
            TableId::Members => &mut self.members,
        }
    }

    /// Takes the next record at a start.
    pub(crate) fn load(&mut self, record: &Stored) -> Result<(), TableError> {
        self.table_mut(record.table).load(record)
    }

    /// All have come. Counts those that are live, and returns the others.
    pub(crate) fn loaded(&mut self, meta: &Meta) -> (Inventory, Vec<Garbage>) {
        let (mut inventory, mut garbage) = (Inventory::default(), Vec::new());
        for id in TableId::ALL {
            garbage.extend(self.table_mut(id).loaded(meta, &mut |at| inventory.add(id, at)));
        }
        (inventory, garbage)
    }

    /// Keeps the state as it is now: whatever was made up to `last`.
    pub(crate) fn keep(&self, last: Ordinal) -> Reading<Ordinal> {
        self.places.begin(last).expect("only what precedes the newest view is collected")
    }

    /// A step of [`StateTable::collect`] in each table.
    pub(crate) fn collect(
        &self,
        meta: &mut Meta,
        shown: &Meta,
        budget: usize,
        garbage: &mut Vec<Garbage>,
    ) -> bool {
        let mut step = |id| self.table(id).collect(meta, shown, budget, garbage);
        // One table after the other, so that a step stays small.
        TableId::ALL.into_iter().any(&mut step)
    }

    /// Whether there will be more to collect, at the latest when a reader has ended.
    pub(crate) fn are_behind(&self, meta: &Meta, shown: &Meta) -> bool {
        TableId::ALL.into_iter().any(|id| self.table(id).is_behind(meta, shown))
    }
}
