//! Answers and their origin.

use crate::api::read_level::ReadLevel;
use crate::raft::RoleName;
use crate::types::{Index, NodeId, Revision, Term};

/// Who answered, and from which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub node: NodeId,
    pub name: String,
    pub role: RoleName,
    pub term: Term,
    /// The store's revision there; for a read, the revision that was read.
    pub revision: Revision,
    /// The last entry that the state includes.
    pub applied: Index,
    /// For a read, how fresh it was.
    pub level: Option<ReadLevel>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served<T> {
    pub origin: Origin,
    pub value: T,
}
