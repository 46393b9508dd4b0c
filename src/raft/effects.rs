//! What a node wants done: plain data, so that a test can compare a whole reaction and a script can print it.

use crate::raft::entry::{Entry, HardState};
use crate::raft::message::Message;
use crate::raft::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index, NodeId, Term};

/// Everything to do after the inputs since the last call of `take_effects`.
///
/// The fields may be carried out concurrently: what must wait for the disk is still inside the node. Only the
/// `persist` jobs must keep their order, and so must `committed` and `install`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "effects that are not carried out are lost"]
pub struct Effects {
    /// Write this to the log, then call [`persisted`](crate::raft::Node::persisted).
    pub persist: Option<Persist>,
    /// Send these, each to its node. They may be lost, repeated and reordered.
    pub messages: Vec<(NodeId, Message)>,
    /// Apply these to the state machine, in order. Each index appears once.
    pub committed: Vec<Entry>,
    /// Reads that were answered.
    pub reads: Vec<ReadOutcome>,
    /// Replace the state by this received snapshot, then call
    /// [`snapshot_installed`](crate::raft::Node::snapshot_installed).
    pub install: Option<SnapshotMeta>,
    /// Start sending a snapshot to these, then call
    /// [`snapshot_sent`](crate::raft::Node::snapshot_sent).
    pub send_snapshots: Vec<NodeId>,
    /// Read these from the log's store, then call [`log_read`](crate::raft::Node::log_read).
    pub read_log: Vec<LogRead>,
}

/// A read of entries for a follower that are no longer in memory. There is at most one under way for each follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogRead {
    pub to: NodeId,
    /// The term in which it was asked for.
    pub term: Term,
    pub from: Index,
    /// About the most bytes of entries; one entry may be larger.
    pub bytes_max: usize,
}

/// Consecutive entries of the log, and the id of the entry before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSlice {
    /// The entry before the first one.
    pub prev: EntryId,
    /// At least one, without gaps.
    pub entries: Vec<Entry>,
}

/// One write to the log. All of it becomes durable together, after all writes before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Persist {
    /// Names this write when it is durable.
    pub mark: Mark,
    /// The new hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Drop the whole log and let it begin after this entry (a snapshot was installed).
    pub reset: Option<EntryId>,
    /// Entries without gaps. They replace what the log holds at the first
    /// one's index and above.
    pub entries: Vec<Entry>,
}

/// Numbers the writes to the log. What is durable follows from which writes are durable, not from index and
/// term: the same entry can be written, overwritten and written again, and an early completion must not count
/// for the last write (the ABA problem of asynchronous storage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

impl Mark {
    /// The mark of what was in the log at the start; the first write has the next one.
    pub const RESTORED: Self = Self(0);

    /// How many marks it is after `other`, or 0 if it is not.
    pub(crate) fn since(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

/// Identifies a waiting read; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadToken(pub u64);

/// The end of a read's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadOutcome {
    /// A state that has applied `index` is fresh enough.
    Ready {
        token: ReadToken,
        /// The read index (thesis §6.4).
        index: Index,
    },
    /// Leadership was lost before it was confirmed; ask the new leader.
    Lost { token: ReadToken },
}
