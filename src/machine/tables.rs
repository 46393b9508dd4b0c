//! The tables of the state, by name.
//!
//! All records of all tables go the same way: staged, counted, hashed, written in blocks, exported. What differs is
//! which of them are live, and how they come back to memory at a start.

/// A table. Its number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TableId {
    /// The versions of all keys ([`kv`](crate::kv)).
    Versions = 1,
}

impl TableId {
    /// The table of a number.
    pub(crate) fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Versions),
            _ => None,
        }
    }
}
