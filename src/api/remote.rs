//! The other nodes, as the routing of requests sees them: the questions that one
//! node asks another, and the seam through which it asks. `peers` carries them
//! over the network, the simulator in virtual time.

use crate::api::fault::Fault;
use crate::api::node_status::NodeStatus;
use crate::member::Member;
use crate::replica::Applied;
use crate::types::{Index, NodeId};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A future behind a trait object.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is asked of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Replicate and apply this command, in its byte form. It was checked.
    Propose(Bytes),
    /// Which index must a state include for a linearizable read (thesis §6.4)?
    ReadIndex,
    /// Hand leadership over: to the voter that is furthest, if none is named.
    Transfer(Option<NodeId>),
    /// Put this member's URLs into the log.
    Advertise(Member),
}

impl Question {
    /// Whether it changes something, so that to ask twice may do harm.
    pub fn changes_something(&self) -> bool {
        match self {
            Self::Propose(_) | Self::Transfer(_) => true,
            // To advertise twice does no harm.
            Self::ReadIndex | Self::Advertise(_) => false,
        }
    }
}

/// The leader's answer, of its question's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command was applied.
    Applied(Applied),
    /// A state that includes this index is fresh enough.
    ReadIndex(Index),
    /// This node leads now.
    Leads(NodeId),
    /// The URLs are in the leader's log; they stay there unless the entry is overwritten.
    Advertised,
}

/// Why another node gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It says why not.
    Refused(Fault),
    /// It certainly never got the question, for this reason.
    NotSent(String),
    /// It may have got the question, but there will be no answer, for this reason.
    Lost(String),
    /// As many questions to it are under way as may be.
    Overloaded,
}

/// The way to the other nodes. Whoever waits for an answer may stop at any time.
pub trait OtherNodes: Send + Sync + 'static {
    /// Asks a node, which leads as far as this one knows; it need not work on the
    /// question after `deadline`.
    fn ask(&self, leader: NodeId, question: Question, deadline: Instant) -> Later<Result<Answer, NoAnswer>>;

    /// Asks a node how it is.
    fn status(&self, node: NodeId, deadline: Instant) -> Later<Result<NodeStatus, NoAnswer>>;
}

/// Answers what other nodes ask.
pub trait Responder: Send + Sync + 'static {
    /// The answer within so much time, if this node leads.
    fn answer(self: Arc<Self>, question: Question, time: Duration) -> Later<Result<Answer, Fault>>;

    /// How this node is.
    fn status(&self) -> NodeStatus;
}
