//! Why a node refuses what it is asked for.

use crate::types::NodeId;

/// A proposal was refused; it is certainly not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Ask the leader, if one is known.
    #[error("not the leader")]
    NotLeader(Option<NodeId>),
    /// Leadership is being handed over.
    #[error("leadership is being handed over")]
    Transferring,
    /// The log's tail in memory is full.
    #[error("the log is full until the state is on disk")]
    LogFull,
}

/// New members were refused; they are certainly not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersRefused {
    /// As a command would be.
    #[error(transparent)]
    Proposal(#[from] ProposeError),
    /// The members in force are not committed yet, or nothing of the leader's term is.
    #[error("an earlier change of members may be under way")]
    Busy,
}

/// A read was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefused {
    /// Ask the leader, if one is known.
    #[error("not the leader")]
    NotLeader(Option<NodeId>),
    /// Too many reads wait.
    #[error("too many reads wait")]
    TooMany,
}

/// A transfer of leadership was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefused {
    /// Ask the leader, if one is known.
    #[error("not the leader")]
    NotLeader(Option<NodeId>),
    /// Only another voter can take over.
    #[error("not another voter")]
    NotVoter,
    /// One is under way.
    #[error("a transfer is under way")]
    Busy,
}
