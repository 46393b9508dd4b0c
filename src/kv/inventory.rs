//! Which records the table should have.
//!
//! An engine that meets damage may drop what it cannot read without a word: the
//! end of its log, and with it whatever it had moved there. What is left looks whole,
//! record by record. So the meta record says how many records there are, and a sum
//! over their places that is kept up with each change; a start counts them again.

use crate::kv::version::Position;
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
    pub(crate) fn add(&mut self, at: Position) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(xxh3_64(&at.table_key()));
    }

    /// A record that is part of it is removed.
    pub(crate) fn remove(&mut self, at: Position) {
        self.records -= 1;
        self.sum = self.sum.wrapping_sub(xxh3_64(&at.table_key()));
    }
}

impl FromIterator<Position> for Inventory {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut inventory = Self::default();
        positions.into_iter().for_each(|at| inventory.add(at));
        inventory
    }
}
