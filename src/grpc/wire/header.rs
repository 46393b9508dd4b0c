//! The header of every answer, and the words of the cluster on the wire.

use crate::grpc::wire::read::{Level, signed};
use crate::proto::v1;
use crate::raft::RoleName;
use crate::settings::Limits;
use crate::types::{ClusterId, Index, NodeId, Revision};

/// Who answers; the same in every answer of a node.
#[derive(Clone, Debug)]
pub struct Answerer {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
}

/// From which state an answer comes.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The store's revision there.
    pub revision: Revision,
    /// The last entry that is part of it.
    pub applied: Index,
    /// The node's term.
    pub term: u64,
    /// The node's role.
    pub role: RoleName,
    /// For a read, how fresh it was.
    pub level: Option<Level>,
}

/// The header of an answer.
pub fn header(answerer: &Answerer, served: Served) -> v1::ResponseHeader {
    v1::ResponseHeader {
        cluster_id: answerer.cluster.get(),
        node_id: answerer.node.get(),
        served_by: answerer.name.clone(),
        revision: signed(served.revision.get()),
        raft_term: served.term,
        applied_index: served.applied.get(),
        role: role(served.role).into(),
        read_level: served.level.map_or(v1::ReadLevel::Unspecified, Level::to_wire).into(),
    }
}

/// A role on the wire.
pub fn role(role: RoleName) -> v1::NodeRole {
    match role {
        RoleName::Follower => v1::NodeRole::Follower,
        RoleName::PreCandidate => v1::NodeRole::PreCandidate,
        RoleName::Candidate => v1::NodeRole::Candidate,
        RoleName::Leader => v1::NodeRole::Leader,
        RoleName::Learner => v1::NodeRole::Learner,
    }
}

/// The limits on the wire.
pub fn limits(limits: &Limits) -> v1::Limits {
    v1::Limits {
        key_bytes: limits.key_bytes as u64,
        request_bytes: limits.request_bytes as u64,
        txn_ops: limits.txn_ops as u64,
        page_keys: limits.page_keys,
        page_bytes: limits.page_bytes,
    }
}
