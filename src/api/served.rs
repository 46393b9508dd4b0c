//! Answers and where they come from.

use crate::api::read_level::Level;
use crate::raft::RoleName;
use crate::types::{Index, NodeId, Revision, Term};

/// Who answered, and from which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: RoleName,
    /// Its term.
    pub term: Term,
    /// The store's revision there; for a read, of what was read.
    pub revision: Revision,
    /// The last entry that the state includes.
    pub applied: Index,
    /// For a read, how fresh it was.
    pub level: Option<Level>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served<T> {
    /// Where it comes from.
    pub origin: Origin,
    /// What it is.
    pub value: T,
}
