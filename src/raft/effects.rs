//! What a node wants done: plain data, so that a test compares a whole
//! reaction and a script prints it.

use crate::raft::entry::{Entry, HardState};
use crate::raft::message::Message;
use crate::raft::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index, NodeId, Term};

/// Everything to do after the inputs since the last call of `take_effects`.
///
/// The fields may be carried out side by side: what must wait for the disk is
/// still inside the node. Only `persist` jobs must stay in their order, and so
/// must `committed` and `install`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "effects that are not carried out are lost"]
pub struct Effects {
    /// Write this to the log, then say [`persisted`](crate::raft::Node::persisted).
    pub persist: Option<Persist>,
    /// Send these, each to its node. They may be lost, repeated and reordered.
    pub messages: Vec<(NodeId, Message)>,
    /// Apply these to the state machine, in order. Each index appears once.
    pub committed: Vec<Entry>,
    /// Reads that were answered.
    pub reads: Vec<ReadOutcome>,
    /// Replace the state by this received snapshot, then say
    /// [`snapshot_installed`](crate::raft::Node::snapshot_installed).
    pub install: Option<SnapshotMeta>,
    /// Start sending a snapshot to these, then say
    /// [`snapshot_sent`](crate::raft::Node::snapshot_sent).
    pub send_snapshots: Vec<NodeId>,
    /// Read these from the log's store, then say [`log_read`](crate::raft::Node::log_read).
    pub read_log: Vec<LogRead>,
}

/// Entries for a follower that are no longer in memory. There is never more than one for each follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogRead {
    /// The follower.
    pub to: NodeId,
    /// In which term it was asked for.
    pub term: Term,
    /// The first entry.
    pub from: Index,
    /// About the most bytes of entries; one entry may be larger.
    pub bytes_max: usize,
}

/// Neighbouring entries of the log, and the one before them.
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
    /// What to say when it is durable.
    pub mark: Mark,
    /// The new hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Drop the whole log and let it begin behind this entry (a snapshot was installed).
    pub reset: Option<EntryId>,
    /// Entries without gaps. They replace what the log holds at the first
    /// one's index and above.
    pub entries: Vec<Entry>,
}

/// Names one write to the log, rising by one each. What is durable follows
/// from which writes are, not from index and term: the same entry can be
/// written, overwritten and written again, and an early completion must not
/// speak for the last write (the ABA race of asynchronous storage).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

impl Mark {
    /// What was in the log at the start; the first write is the next one.
    pub const RESTORED: Self = Self(0);

    /// How many marks after `other`, or 0 if it is not.
    pub(crate) fn since(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

/// Names a waiting read; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadToken(pub u64);

/// The end of a read's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadOutcome {
    /// A state that has applied `index` is fresh enough.
    Ready {
        /// The read.
        token: ReadToken,
        /// The read index (thesis §6.4).
        index: Index,
    },
    /// Leadership was lost before it was confirmed; ask the new leader.
    Lost {
        /// The read.
        token: ReadToken,
    },
}
