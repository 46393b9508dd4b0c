//! The encoding of a node's status.

use crate::api::node_status::NodeStatus;
use crate::peers::wire::malformed::{Malformed, malformed};
use crate::peers::wire::raft::{checked_index, checked_term};
use crate::proto::raft as pb;
use crate::raft::{FollowerProgress, RoleName};
use crate::types::{FollowerState, NodeId, Revision};
use bytes::Bytes;
use std::time::Duration;

/// The most followers in a leader's status.
const FOLLOWERS_MAX: usize = 1024;

pub fn status(status: NodeStatus) -> pb::NodeStatus {
    pb::NodeStatus {
        node_id: status.node.get(),
        role: role(status.role).into(),
        term: status.term.get(),
        leader_id: status.leader.map_or(0, NodeId::get),
        commit_index: status.commit.get(),
        applied_index: status.applied.get(),
        last_index: status.last.get(),
        durable_index: status.durable.get(),
        compacted_index: status.compacted.get(),
        revision: status.revision.get(),
        compact_revision: status.compact_revision.get(),
        keys: status.keys,
        disk_bytes: status.disk_bytes,
        uptime_seconds: status.uptime_seconds,
        version: status.version,
        durability: status.durability,
        state_hash: Bytes::copy_from_slice(&status.state_hash.to_be_bytes()),
        not_ready: status.not_ready,
        followers: status.followers.into_iter().map(follower).collect(),
        longest_apply_micros: micros(status.longest_apply),
    }
}

fn follower(follower: FollowerProgress) -> pb::Follower {
    pb::Follower {
        node_id: follower.node.get(),
        state: state(follower.state).into(),
        alive: follower.alive,
        match_index: follower.matched.get(),
        next_index: follower.next.get(),
    }
}

fn state(state: FollowerState) -> pb::FollowerState {
    match state {
        FollowerState::Probe => pb::FollowerState::Probe,
        FollowerState::Replicate => pb::FollowerState::Replicate,
        FollowerState::Snapshot => pb::FollowerState::Snapshot,
    }
}

fn role(role: RoleName) -> pb::Role {
    match role {
        RoleName::Follower => pb::Role::Follower,
        RoleName::PreCandidate => pb::Role::PreCandidate,
        RoleName::Candidate => pb::Role::Candidate,
        RoleName::Leader => pb::Role::Leader,
        RoleName::Learner => pb::Role::Learner,
    }
}

pub fn checked_status(wire: pb::NodeStatus) -> Result<NodeStatus, Malformed> {
    let role = checked_role(wire.role())?;
    if wire.followers.len() > FOLLOWERS_MAX {
        return malformed(format!("{} followers, limit {FOLLOWERS_MAX}", wire.followers.len()));
    }
    let Ok(state_hash) = <[u8; 16]>::try_from(&wire.state_hash[..]) else {
        return malformed(format!("a state hash of {} bytes", wire.state_hash.len()));
    };
    Ok(NodeStatus {
        node: NodeId(wire.node_id),
        role,
        term: checked_term(wire.term)?,
        leader: (wire.leader_id != 0).then_some(NodeId(wire.leader_id)),
        commit: checked_index(wire.commit_index)?,
        applied: checked_index(wire.applied_index)?,
        last: checked_index(wire.last_index)?,
        durable: checked_index(wire.durable_index)?,
        compacted: checked_index(wire.compacted_index)?,
        revision: Revision(wire.revision),
        compact_revision: Revision(wire.compact_revision),
        keys: wire.keys,
        disk_bytes: wire.disk_bytes,
        uptime_seconds: wire.uptime_seconds,
        version: wire.version,
        durability: wire.durability,
        state_hash: u128::from_be_bytes(state_hash),
        not_ready: wire.not_ready,
        followers: wire.followers.into_iter().map(checked_follower).collect::<Result<_, _>>()?,
        longest_apply: Duration::from_micros(wire.longest_apply_micros),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn checked_follower(wire: pb::Follower) -> Result<FollowerProgress, Malformed> {
    let state = match wire.state() {
        pb::FollowerState::Probe => FollowerState::Probe,
        pb::FollowerState::Replicate => FollowerState::Replicate,
        pb::FollowerState::Snapshot => FollowerState::Snapshot,
        pb::FollowerState::Unspecified => return malformed("a follower in an unknown state"),
    };
    Ok(FollowerProgress {
        node: NodeId(wire.node_id),
        alive: wire.alive,
        state,
        matched: checked_index(wire.match_index)?,
        next: checked_index(wire.next_index)?,
    })
}

fn checked_role(role: pb::Role) -> Result<RoleName, Malformed> {
    Ok(match role {
        pb::Role::Follower => RoleName::Follower,
        pb::Role::PreCandidate => RoleName::PreCandidate,
        pb::Role::Candidate => RoleName::Candidate,
        pb::Role::Leader => RoleName::Leader,
        pb::Role::Learner => RoleName::Learner,
        pb::Role::Unspecified => return malformed("a node of unknown role"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Index, Term};

    fn sample() -> NodeStatus {
        let follower = FollowerProgress {
            node: NodeId(2),
            alive: true,
            state: FollowerState::Probe,
            matched: Index(3),
            next: Index(4),
        };
        NodeStatus {
            node: NodeId(1),
            role: RoleName::Leader,
            term: Term(5),
            leader: Some(NodeId(1)),
            commit: Index(9),
            applied: Index(8),
            last: Index(10),
            durable: Index(10),
            compacted: Index(1),
            revision: Revision(7),
            compact_revision: Revision(2),
            keys: 3,
            disk_bytes: 1 << 20,
            uptime_seconds: 60,
            version: "0.1.0".into(),
            durability: "fdatasync".into(),
            state_hash: u128::MAX - 1,
            not_ready: Some("the node is stopping".into()),
            followers: vec![follower],
            longest_apply: Duration::from_micros(1234),
        }
    }

    #[test]
    fn a_status_arrives_as_it_was_sent() {
        assert_eq!(checked_status(status(sample())), Ok(sample()));
    }

    #[test]
    fn a_broken_one_is_refused() {
        let broken = |change: fn(&mut pb::NodeStatus)| {
            let mut wire = status(sample());
            change(&mut wire);
            checked_status(wire)
        };
        assert!(broken(|wire| wire.role = 99).is_err());
        assert!(broken(|wire| wire.state_hash = Bytes::new()).is_err());
        assert!(broken(|wire| wire.term = u64::MAX).is_err());
        assert!(broken(|wire| wire.followers = vec![pb::Follower::default(); 2000]).is_err());
    }
}
