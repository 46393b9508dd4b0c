//! Which versions this program supports, and how it ends when it meets a newer one.
//!
//! All nodes must do the same with every entry. So a node that meets a command, a record or a version from a
//! newer program must not refuse it and go on: the others did something else, and its state would diverge. It
//! ends and says what to do; the newer program meets the entry again at the next start.
//!
//! The *cluster's version* prevents this in a rolling upgrade: it is part of the state, and an entry raises
//! it once all members run a program that supports it. Only then may entries of newer kinds be proposed.
//!
//! There has been one version so far, and nothing in the code chooses by it: state, log and snapshots are written in one
//! format each. The first difference that an older program could not read comes with version 2, and is written only
//! once the cluster has that version.

use crate::kv::TableError;
use crate::types::EntryId;
use std::fmt;

/// Which kinds of entries and records a cluster may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterVersion(pub u32);

impl ClusterVersion {
    /// The version of a new cluster.
    pub const FOUNDING: Self = Self(1);

    /// The newest version that this program supports.
    pub const SUPPORTED: Self = Self(1);

    pub fn get(self) -> u32 {
        self.0
    }

    /// The version to which a cluster of this version may be raised: what all members are known to support,
    /// if that is more.
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
    /// The table broke its promise, or is damaged.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A committed entry holds something that this program does not know.
    #[error(
        "entry {entry} holds {what}; this program supports cluster versions up to {}: a member that runs a newer one has \
         proposed it; stop this node and start it with that program, on the same data directory",
        ClusterVersion::SUPPORTED
    )]
    Unknown { entry: EntryId, what: String },
}

/// The error for a part of the state in another format than the one that this program reads.
pub(crate) fn other_format(part: &str, found: u8, own: u8) -> TableError {
    if found > own {
        return newer_state(format_args!("{part} of format {found}"));
    }
    TableError(format!(
        "it has {part} of format {found}, which is older than the only one that this program reads, {own}: start the \
         program that wrote it"
    ))
}

/// The error for a state of an unknown version.
pub(crate) fn newer_state(what: impl fmt::Display) -> TableError {
    TableError(format!(
        "it has {what}; this program supports cluster versions up to {}: start the program that wrote it, or a newer one",
        ClusterVersion::SUPPORTED
    ))
}
