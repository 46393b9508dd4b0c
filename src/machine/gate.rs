//! What this program knows, and how it ends when it meets more.
//!
//! All nodes must do the same with every entry. So a node that meets a command, a record or a version which a newer program has made
//! must not refuse it and go on: the others did something else, and from then on its state is another. It
//! ends and says what to do; the entry is met again at the next start, by the newer program.
//!
//! That this does not happen in a rolling upgrade is the business of the *cluster's version*: it is part of the state, and raised by
//! an entry of its own once all members run a program that knows it. Only then may
//! entries of newer kinds be proposed.

use crate::kv::TableError;
use crate::types::EntryId;
use std::fmt;

/// Which kinds of entries and records a cluster may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterVersion(pub u32);

impl ClusterVersion {
    /// What a new cluster has.
    pub const FOUNDING: Self = Self(1);

    /// The newest that this program knows.
    pub const SUPPORTED: Self = Self(1);

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// To what a cluster of this version may be raised: what each of its members is known to support, if that is more.
    pub fn raisable(self, members: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let supported: Option<Vec<Self>> = members.into_iter().collect();
        supported?.into_iter().min().filter(|lowest| *lowest > self)
    }
}

impl fmt::Display for ClusterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The machine cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// The table broke its word, or is damaged.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A committed entry holds what this program does not know.
    #[error(
        "entry {entry} holds {what}; this program knows cluster versions up to {}: a member that runs a newer one has \
         proposed it; stop this node and start it with that program, on the same data directory",
        ClusterVersion::SUPPORTED
    )]
    Unknown {
        /// The entry.
        entry: EntryId,
        /// What is in it.
        what: String,
    },
}

/// The error for a state of a version that this program does not know.
pub(crate) fn newer_state(what: impl fmt::Display) -> TableError {
    TableError(format!(
        "it has {what}; this program knows cluster versions up to {}: start the program that wrote it, or a newer one",
        ClusterVersion::SUPPORTED
    ))
}
