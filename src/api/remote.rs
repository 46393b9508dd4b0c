//! The other nodes, as the routing of requests sees them: the questions that one node asks another, and the
//! interface for asking. `peers` implements it over the network, the simulator in virtual time.

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

/// What an interface without generics answers with.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is asked of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Replicate and apply this command, given in its encoding. It has been checked.
    Propose(Bytes),
    /// Which index must a state include for a linearizable read (thesis §6.4)?
    ReadIndex,
    /// Hand leadership over: to the most up-to-date voter, if none is named.
    Transfer(Option<NodeId>),
    /// Put this member's URLs into the log.
    Advertise(Member),
}

impl Question {
    /// Whether it changes something, so that asking twice may do harm.
    pub fn changes_something(&self) -> bool {
        match self {
            Self::Propose(_) | Self::Transfer(_) => true,
            // To advertise twice does no harm.
            Self::ReadIndex | Self::Advertise(_) => false,
        }
    }
}

/// The leader's answer, of the same kind as the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
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
    /// It certainly never received the question, for this reason.
    NotSent(String),
    /// It may have received the question, but there will be no answer, for this reason.
    Lost(String),
    /// The most questions to it are already under way.
    Overloaded,
}

/// Access to the other nodes. A caller may stop waiting for an answer at any time.
pub trait OtherNodes: Send + Sync + 'static {
    /// Asks a node that leads as far as this one knows; it need not work on the question after `deadline`.
    fn ask(&self, leader: NodeId, question: Question, deadline: Instant) -> Later<Result<Answer, NoAnswer>>;

    fn status(&self, node: NodeId, deadline: Instant) -> Later<Result<NodeStatus, NoAnswer>>;
}

/// Answers other nodes' questions.
pub trait Responder: Send + Sync + 'static {
    /// The answer within `time`, if this node leads.
    fn answer(self: Arc<Self>, question: Question, time: Duration) -> Later<Result<Answer, Fault>>;

    fn status(&self) -> NodeStatus;
}
