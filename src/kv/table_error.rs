//! A state that cannot be read or kept.

/// The table's engine broke its word, or found damage. There is nothing to
/// retry: the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state table: {0}")]
pub struct TableError(pub String);
