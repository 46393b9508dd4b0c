//! Which records the state should have.
//!
//! An engine that meets damage may drop what it cannot read without a word: the
//! end of its log, and with it whatever it had moved there. What is left looks whole,
//! record by record. So the meta record says how many live records there are, and a sum
//! over their places that is kept up with each change; a start counts them again. Garbage is not counted: how much of it has
//! left the table already does not matter.

use crate::kv::version::Position;
use crate::machine::tables::TableId;
use xxhash_rust::xxh3::xxh3_64;

/// How many records, and which. Their contents have checksums of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// How many.
    pub(crate) records: u64,
    /// The sum of a hash of the place of each.
    pub(crate) sum: u64,
}

impl Inventory {
    /// A record is added.
    pub(crate) fn add(&mut self, table: TableId, at: Position) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(hash(table, at));
    }

    /// A record that is part of it is no longer.
    pub(crate) fn remove(&mut self, table: TableId, at: Position) {
        self.records -= 1;
        self.sum = self.sum.wrapping_sub(hash(table, at));
    }
}

fn hash(table: TableId, at: Position) -> u64 {
    let mut place = [table as u8; 13];
    place[1..9].copy_from_slice(&at.revision.get().to_be_bytes());
    place[9..].copy_from_slice(&at.sub.to_be_bytes());
    xxh3_64(&place)
}
