//! How far the store has come.

use crate::types::Revision;

/// The revisions that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revisions {
    /// The store's revision.
    pub(crate) current: Revision,
    /// Reads below it are refused.
    pub(crate) compacted: Revision,
}

impl Default for Revisions {
    /// Of the empty store.
    fn default() -> Self {
        Self { current: Revision(1), compacted: Revision(0) }
    }
}
