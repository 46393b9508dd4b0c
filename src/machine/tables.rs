//! The tables of the state, by name.
//!
//! The records of all tables are handled alike: staged, counted, hashed, written in blocks, exported. Tables
//! differ in which of their records are live, and in how these are loaded into memory at a start.

/// A table. Its number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TableId {
    /// The versions of all keys ([`kv`](crate::kv)).
    Versions = 1,
}

impl TableId {
    pub(crate) fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Versions),
            _ => None,
        }
    }
}
