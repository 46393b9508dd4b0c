//! A version of a key without its value, and its place in the order of all changes.

use crate::types::Revision;
use std::fmt;

/// The place of a change in the order of all changes ever made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) revision: Revision,
    /// Its place among the changes of that revision.
    pub(crate) sub: u32,
}

impl Position {
    /// The first position of a revision.
    pub(crate) fn first_of(revision: Revision) -> Self {
        Self { revision, sub: 0 }
    }
}

impl fmt::Display for Position {
    /// `revision.sub`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.revision, self.sub)
    }
}

/// Everything about a version except its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The revision that made it.
    pub(crate) revision: Revision,
    /// Its place among the changes of that revision.
    pub(crate) sub: u32,
    /// The size of the value in bytes.
    pub(crate) value_bytes: u32,
    /// The revision of the key's creation; 0 in a tombstone.
    pub(crate) create_revision: Revision,
    /// The number of puts since creation; 0 in a tombstone.
    pub(crate) version: u64,
}

impl Version {
    /// The version that makes the key absent from `at` on.
    pub(crate) fn tombstone(at: Position) -> Self {
        Self { revision: at.revision, sub: at.sub, value_bytes: 0, create_revision: Revision(0), version: 0 }
    }

    /// Where its record is.
    pub(crate) fn position(&self) -> Position {
        Position { revision: self.revision, sub: self.sub }
    }

    /// Whether it makes the key absent.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.version == 0
    }
}
