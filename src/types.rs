//! The small types that every layer uses. They are below everything else, so that no layer needs to import a
//! larger one for them.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// As a bare number, for formats and arithmetic.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next one. Panics on overflow, which no cluster lives long enough to see.
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A Raft term (Raft §5.1). Term 0 is before the first election.
    Term
}
number! {
    /// A place in the Raft log. The first entry has index 1; 0 is before it.
    Index
}
number! {
    /// A node of the cluster. Never 0.
    NodeId
}
number! {
    /// The cluster that a node belongs to. Never 0.
    ClusterId
}
number! {
    /// A data directory, by the random number that it got when it was created.
    DirectoryId
}
number! {
    /// A revision of the whole store: 1 is the empty store, the first write makes 2.
    Revision
}

impl Index {
    /// The index before this one. Panics below 0.
    pub const fn previous(self) -> Self {
        Self(self.0 - 1)
    }
}

/// Names one entry forever: two logs that hold entries with the same id hold
/// the same entry, and the same entries before it (Raft §5.3, log matching).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The term of the leader that made the entry. It leads the order: a log
    /// that ends in a higher term is more up to date, whatever its length (Raft §5.4.1).
    pub term: Term,
    /// The entry's place.
    pub index: Index,
}

impl EntryId {
    /// The place before the first entry.
    pub const ZERO: Self = Self { term: Term(0), index: Index(0) };

    /// Shorthand for tests and conversions.
    pub const fn new(term: u64, index: u64) -> Self {
        Self { term: Term(term), index: Index(index) }
    }
}

impl fmt::Display for EntryId {
    /// `index@term`, as in the golden scripts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// How a follower gets entries, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerState {
    /// One append at a time, until it is known how far the logs agree.
    Probe,
    /// Appends follow each other without waiting (thesis §10.2.2).
    Replicate,
    /// It gets the state instead: the entries were compacted (Raft §7).
    Snapshot,
}

impl fmt::Display for FollowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Replicate => "replicate",
            Self::Snapshot => "snapshot",
        })
    }
}
