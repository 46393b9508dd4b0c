//! What the log consists of, and what else must survive a crash.

use crate::raft::members::Members;
use crate::types::{EntryId, NodeId, Term};
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its index and term, which never change.
    pub id: EntryId,
    pub payload: Payload,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// Nothing. A new leader appends one, since it may only commit older
    /// entries together with one of its own term (Raft §5.4.2, §8).
    Noop,
    /// A command to the state machine. Consensus never looks inside.
    Command(Bytes),
    /// A new set of members, in force as soon as it is in the log (Raft §6).
    Members(Members),
}

impl Payload {
    /// About how much memory, disk and network it takes, in bytes.
    pub fn size(&self) -> usize {
        // The constant covers id, framing and the containers around an entry.
        32 + match self {
            Self::Noop => 0,
            Self::Command(bytes) => bytes.len(),
            Self::Members(members) => members.size(),
        }
    }
}

impl Entry {
    /// See [`Payload::size`].
    pub fn size(&self) -> usize {
        self.payload.size()
    }

    /// How many of these entries, from the first on, fit into so many bytes.
    pub fn fitting<'a>(entries: impl IntoIterator<Item = &'a Self>, bytes_max: usize) -> usize {
        let mut bytes = 0;
        let fits = |entry: &&Self| {
            bytes += entry.size();
            bytes <= bytes_max
        };
        entries.into_iter().take_while(fits).count()
    }
}

/// What a node must never forget (Raft figure 2): both fields are one record,
/// since a term without its vote would let a node vote twice after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The highest term that the node has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
}
