//! Consensus.

mod effects;
mod entry;
mod members;
mod message;

pub use effects::{Effects, Mark, Persist, ReadOutcome, ReadToken, SnapshotMeta};
pub use entry::{Entry, HardState, Payload};
pub use members::{Members, Tally, majority};
pub use message::{Append, Heartbeat, Message, RequestVote, Round, Vote};

/// A role, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// Follows.
    Follower,
    /// Asks whether it could win.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
    /// Follows without a vote.
    Learner,
}
/// stub
#[derive(Debug)]
pub struct Node;
impl Node { /// stub
 pub fn persisted(&mut self){} /// stub
 pub fn snapshot_installed(&mut self){} /// stub
 pub fn snapshot_sent(&mut self){} }
