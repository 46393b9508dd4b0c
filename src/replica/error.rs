//! Why a replica refuses, distinguished by what the caller does next.

use crate::kv::TableError;
use crate::member::InvalidMember;
use crate::storage::StorageError;
use crate::types::{Index, NodeId};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Certainly not applied: ask the leader, if one is known.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader that this node follows.
        leader: Option<NodeId>,
    },
    /// Certainly not applied: leadership is being handed over; try again in a moment.
    #[error("leadership is being handed over")]
    Transferring,
    /// Certainly not applied: too much is waiting.
    #[error("too much is waiting: {0}")]
    Overloaded(&'static str),
    /// Certainly not applied: it would have been applied too late, behind those that wait.
    #[error("the leader has more writes than it can apply in time: this one would wait for about {wait:.1?}")]
    TooLate {
        /// The expected wait.
        wait: Duration,
    },
    /// Certainly not applied: the disk has less room than the reserve.
    #[error(
        "the leader's disk is nearly full: only deletes and compactions are taken until there is room again"
    )]
    NoSpace,
    /// Certainly not applied: another leader's entry took the write's place in the log.
    #[error("the write was superseded by a new leader")]
    Superseded,
    /// Certainly not applied: the deadline passed while it waited to be proposed.
    #[error("the deadline passed before the write was proposed")]
    Expired,
    /// It may have been applied, or may still be.
    #[error("{0}")]
    Unknown(&'static str),
    /// Certainly not applied: the node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// A read could not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Ask the leader, if one is known.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader that this node follows.
        leader: Option<NodeId>,
    },
    /// Too many reads wait.
    #[error("too many reads are waiting")]
    Overloaded,
    #[error("the node is stopping")]
    Stopping,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Ask the leader, if one is known.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader that this node follows.
        leader: Option<NodeId>,
    },
    /// The target is not another voter.
    #[error("{0}")]
    BadTarget(String),
    /// Nothing was begun: one transfer at a time.
    #[error("another transfer is under way; it ends within an election timeout")]
    InProgress,
    /// Nothing was begun: the target is away, or not yet known to have the leader's log.
    #[error(
        "{to} does not follow {leader} (it is down, cut off or just connecting); leadership stays with {leader}"
    )]
    NotFollowing { to: String, leader: String },
    /// The target was not told to take over, since it lacked entries for an election timeout.
    #[error("{to} did not catch up in time; leadership stays with {leader}")]
    NotCaughtUp { to: String, leader: String },
    /// The target was told to take over, and did not within an election timeout. It still may.
    #[error("{to} was told to take over from {leader} and did not do so in time; it may yet")]
    NotTakenOver { to: String, leader: String },
    /// The leadership went elsewhere.
    #[error("{leader} took over instead of {to}")]
    TakenByAnother { to: String, leader: String },
    #[error("the node is stopping")]
    Stopping,
}

/// A member's URLs were not taken into the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertiseError {
    /// Ask the leader, if one is known.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader that this node follows.
        leader: Option<NodeId>,
    },
    /// Only members can advertise.
    #[error("node {0} is not a member")]
    NotMember(NodeId),
    /// What is advertised could not be read by the members.
    #[error("{0}")]
    Invalid(InvalidMember),
    /// The members cannot be changed at the moment.
    #[error("the members cannot be changed yet: {0}")]
    Busy(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// A received snapshot was not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The node already has all of it, or follows a newer leader.
    #[error("stale snapshot: {0}")]
    Stale(String),
    /// Another one is being received.
    #[error("another snapshot is being received; at {0}")]
    Busy(Index),
    /// The bytes are damaged, or could not be stored.
    #[error("snapshot refused: {0}")]
    Refused(String),
    #[error("the node is stopping")]
    Stopping,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    State(#[from] TableError),
    #[error(transparent)]
    Log(#[from] StorageError),
    /// The state and the log contradict each other.
    #[error("the data directory is damaged: {0}; see \"A member has lost its data\" in docs/operations.md")]
    Damaged(String),
    #[error("a worker thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}
