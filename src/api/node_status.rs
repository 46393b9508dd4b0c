//! How a node is, as it sees itself.

use crate::raft::{FollowerProgress, RoleName};
use crate::types::{Index, NodeId, Revision, Term};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Which node.
    pub node: NodeId,
    /// Its role.
    pub role: RoleName,
    /// Its term.
    pub term: Term,
    /// The leader that it follows, itself if it leads.
    pub leader: Option<NodeId>,
    /// The last entry that it knows to be committed.
    pub commit: Index,
    /// The last entry that its state includes.
    pub applied: Index,
    /// The last entry of its log.
    pub last: Index,
    /// The last entry of its log that is on stable storage.
    pub durable: Index,
    /// Entries up to here are gone from its log.
    pub compacted: Index,
    /// Its store's revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub compact_revision: Revision,
    /// How many keys there are.
    pub keys: u64,
    /// Bytes on its disk.
    pub disk_bytes: u64,
    /// How long its process has run.
    pub uptime_seconds: u64,
    /// Its program's version.
    pub version: String,
    /// What an acknowledged write is worth there, in words.
    pub durability: String,
    /// The hash over all that was applied.
    pub state_hash: u128,
    /// Why no requests should be sent there; `None` if it is ready.
    pub not_ready: Option<String>,
    /// On the leader: how far the others are.
    pub followers: Vec<FollowerProgress>,
}
