//! What the handlers of the roles answer: they say what should happen, the node does it.

use crate::types::NodeId;

/// What should happen next, as a role's handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    Stay,
    /// Follow, in the current term.
    Follow(Option<NodeId>),
    /// Ask whether an election could be won.
    PreCampaign,
    /// Stand for election; `transfer` if the leader said so.
    Campaign {
        /// See [`RequestVote::transfer`](crate::raft::message::RequestVote::transfer).
        transfer: bool,
    },
    /// Lead.
    Lead,
}
