//! The header of every answer.

use crate::api::context::Api;
use crate::api::read_level::ReadLevel;
use crate::api::served::Origin;
use crate::grpc::wire::read::signed;
use crate::proto::v1;
use crate::raft::RoleName;

/// The header of an answer, always `Some`, as message fields are optional.
pub fn header(api: &Api, origin: Origin) -> Option<v1::ResponseHeader> {
    Some(v1::ResponseHeader {
        cluster_id: api.cluster.get(),
        node_id: origin.node.get(),
        served_by: origin.name,
        revision: signed(origin.revision.get()),
        raft_term: origin.term.get(),
        applied_index: origin.applied.get(),
        role: role(origin.role).into(),
        read_level: origin.level.map_or(v1::ReadLevel::Unspecified, read_level).into(),
    })
}

fn read_level(level: ReadLevel) -> v1::ReadLevel {
    match level {
        ReadLevel::Linearizable => v1::ReadLevel::Linearizable,
        ReadLevel::Local => v1::ReadLevel::Local,
        ReadLevel::AtLeast(_) => v1::ReadLevel::AtLeast,
    }
}

pub fn role(role: RoleName) -> v1::NodeRole {
    match role {
        RoleName::Follower => v1::NodeRole::Follower,
        RoleName::PreCandidate => v1::NodeRole::PreCandidate,
        RoleName::Candidate => v1::NodeRole::Candidate,
        RoleName::Leader => v1::NodeRole::Leader,
        RoleName::Learner => v1::NodeRole::Learner,
    }
}
