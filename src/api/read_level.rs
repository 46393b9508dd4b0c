//! Read levels.

use crate::types::Revision;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Sees every write that was acknowledged before it.
    Linearizable,
    /// Whatever this node has.
    Local,
    /// At least this revision.
    AtLeast(Revision),
}
