//! Status and members, from the domain to the wire.

use crate::api::node_status::NodeStatus;
use crate::api::status::Row;
use crate::grpc::wire::header::role;
use crate::grpc::wire::read::signed;
use crate::member::Member;
use crate::proto::v1;
use crate::raft::FollowerProgress;
use crate::settings::Limits;
use crate::types::{FollowerState, NodeId};

/// A row of the table of all nodes.
pub fn row(row: Row) -> v1::NodeStatus {
    match row {
        Row::Answered(member, status) => node_status(member, *status),
        Row::Silent(silent, why) => {
            v1::NodeStatus { member: Some(member_to_wire(silent)), error: why, ..Default::default() }
        }
    }
}

fn node_status(member: Member, status: NodeStatus) -> v1::NodeStatus {
    v1::NodeStatus {
        member: Some(member_to_wire(member)),
        error: String::new(),
        role: role(status.role).into(),
        raft_term: status.term.get(),
        leader_id: status.leader.map_or(0, NodeId::get),
        commit_index: status.commit.get(),
        applied_index: status.applied.get(),
        last_index: status.last.get(),
        durable_index: status.durable.get(),
        compacted_index: status.compacted.get(),
        revision: signed(status.revision.get()),
        compact_revision: signed(status.compact_revision.get()),
        keys: status.keys,
        disk_bytes: status.disk_bytes,
        uptime_seconds: status.uptime_seconds,
        version: status.version,
        durability: status.durability,
        state_hash: format!("{:032x}", status.state_hash),
        ready: status.not_ready.is_none(),
        not_ready_reason: status.not_ready.unwrap_or_default(),
        followers: status.followers.into_iter().map(follower).collect(),
        longest_apply_micros: u64::try_from(status.longest_apply.as_micros()).unwrap_or(u64::MAX),
    }
}

fn follower(follower: FollowerProgress) -> v1::FollowerProgress {
    v1::FollowerProgress {
        node_id: follower.node.get(),
        state: state(follower.state).into(),
        match_index: follower.matched.get(),
        next_index: follower.next.get(),
    }
}

fn state(state: FollowerState) -> v1::FollowerState {
    match state {
        FollowerState::Probe => v1::FollowerState::Probe,
        FollowerState::Replicate => v1::FollowerState::Replicate,
        FollowerState::Snapshot => v1::FollowerState::Snapshot,
    }
}

pub fn member_to_wire(member: Member) -> v1::Member {
    let Member { id, name, peer_urls, client_urls, learner } = member;
    v1::Member { node_id: id.get(), name, peer_urls, client_urls, learner }
}

pub fn limits(limits: &Limits) -> v1::Limits {
    v1::Limits {
        key_bytes: limits.key_bytes as u64,
        request_bytes: limits.request_bytes as u64,
        txn_ops: limits.txn_ops as u64,
        page_keys: limits.page_keys,
        page_bytes: limits.page_bytes,
    }
}
