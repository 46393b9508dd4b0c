//! Read levels.

use crate::types::Revision;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLevel {
    /// Sees every write that was acknowledged before it.
    Linearizable,
    /// Sees what this node has applied, possibly stale.
    Local,
    AtLeast(Revision),
}
