//! The status of a replica, published after every turn of the loop.

use crate::raft::{FollowerProgress, Members, RoleName};
use crate::types::{EntryId, Index, NodeId, Term};
use std::sync::Arc;

/// The status of a node's consensus. For that of its state see [`View`](crate::machine::View).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub node: NodeId,
    pub role: RoleName,
    pub term: Term,
    /// The leader that it follows, itself if it leads.
    pub leader: Option<NodeId>,
    /// The last entry known to be committed.
    pub commit: Index,
    /// The last entry of the log.
    pub last: EntryId,
    /// The last entry of the log that is on stable storage.
    pub durable: Index,
    /// Entries up to here were compacted.
    pub compacted: Index,
    /// The members in force.
    pub members: Arc<Members>,
    /// On the leader: the progress of the others.
    pub followers: Vec<FollowerProgress>,
    /// Whether this node's own disk has kept up; if not, since how long it has been waited for.
    pub disk_stalled: bool,
}

impl Status {
    /// A node's name, or its id if it is not a member.
    pub fn name_of(&self, node: NodeId) -> String {
        self.members.get(node).map_or_else(|| node.to_string(), |member| member.name.clone())
    }
}
