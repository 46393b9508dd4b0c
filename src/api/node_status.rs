//! The status of a node, as it reports it.

use crate::raft::{FollowerProgress, RoleName};
use crate::types::{Index, NodeId, Revision, Term};
use std::time::Duration;

/// Its numbers are read one after the other, while the node works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    pub node: NodeId,
    pub role: RoleName,
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
    /// Entries up to here were compacted from its log.
    pub compacted: Index,
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub compact_revision: Revision,
    pub keys: u64,
    pub disk_bytes: u64,
    pub uptime_seconds: u64,
    pub version: String,
    /// What an acknowledged write is worth there: "fdatasync".
    pub durability: String,
    /// The hash over everything ever applied.
    pub state_hash: u128,
    /// Why no requests should be sent there; `None` if it is ready.
    pub not_ready: Option<String>,
    /// On the leader: the progress of the others.
    pub followers: Vec<FollowerProgress>,
    /// The longest that its state machine was busy with one entry.
    pub longest_apply: Duration,
}
