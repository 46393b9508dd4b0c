//! The failure of a state's table.

/// The table's engine broke its promise, or found damage. There is nothing to
/// retry: the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state table: {0}")]
pub struct TableError(pub String);
