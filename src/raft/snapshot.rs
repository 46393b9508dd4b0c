//! What consensus knows of a snapshot. Its bytes never come here.

use crate::raft::members::Members;
use crate::types::EntryId;

/// What a snapshot covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotMeta {
    /// The last entry whose effect it includes.
    pub last: EntryId,
    /// The members at that entry.
    pub members: Members,
}
