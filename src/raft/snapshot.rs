//! What consensus knows of a snapshot: never its bytes.

use crate::raft::members::Members;
use crate::types::EntryId;

/// Which entries a snapshot covers, and the members at their end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotMeta {
    /// The last entry whose effect it includes.
    pub last: EntryId,
    /// The members at that entry.
    pub members: Members,
}
