//! The store's revisions.

use crate::types::Revision;

/// The current revision, and the oldest that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revisions {
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
