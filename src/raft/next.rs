//! What a role's handler returns: it decides what should happen, the node does it.

use crate::types::NodeId;

/// What should happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Stay,
    /// Follow, in the current term.
    Follow(Option<NodeId>),
    /// Ask whether an election could be won.
    PreCampaign,
    /// Stand for election; `transfer` if the leader asked for it.
    Campaign {
        /// See [`RequestVote::transfer`](crate::raft::message::RequestVote::transfer).
        transfer: bool,
    },
    Lead,
}
