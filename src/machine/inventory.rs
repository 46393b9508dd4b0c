//! The records that the state should have.
//!
//! An engine that meets damage may silently drop what it cannot read: the end of its log, including whatever
//! it had moved there. What is left looks intact, record by record. So the meta record has the number of live
//! records and a sum over their places, updated with each change; a start counts them again. Garbage is
//! not counted: it does not matter how much of it has left the table.

use crate::machine::stored::{Ordinal, TableId};
use xxhash_rust::xxh3::xxh3_64;

/// How many records, and which. Their contents have their own checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    pub(crate) records: u64,
    /// The sum of a hash of each place.
    pub(crate) sum: u64,
}

impl Inventory {
    pub(crate) fn add(&mut self, table: TableId, at: Ordinal) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(hash(table, at));
    }

    /// A record stops being live.
    pub(crate) fn remove(&mut self, table: TableId, at: Ordinal) {
        self.records -= 1;
        self.sum = self.sum.wrapping_sub(hash(table, at));
    }
}

fn hash(table: TableId, at: Ordinal) -> u64 {
    let mut place = [table as u8; 17];
    place[1..9].copy_from_slice(&at.revision.get().to_be_bytes());
    place[9..].copy_from_slice(&at.step.to_be_bytes());
    xxh3_64(&place)
}
