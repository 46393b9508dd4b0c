//! The messages between peers. Events of the node itself (from the disk, the clock, a client) have their own
//! methods on [`Node`](crate::raft::Node). One message is never sent as such: a snapshot travels on a stream of
//! its own, and `InstallSnapshot` is how its receiver tells the core that it is complete.

use crate::raft::entry::Entry;
use crate::raft::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index, Term};

/// A message from one node to another. Any of them may be lost, repeated, delayed and reordered. Each has its sender's
/// term, except that a pre-vote has the term it is about. A term above the receiver's tells by itself (Raft §5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A candidate asks for a vote (Raft §5.2), or whether one would be given (thesis §9.6).
    RequestVote(RequestVote),
    Vote(Vote),
    /// The leader sends entries (Raft §5.3).
    Append(Append),
    /// A follower holds the leader's entries up to `matched`, durably.
    Accepted {
        term: Term,
        /// The last index that is durable and equal to the leader's log.
        matched: Index,
    },
    /// A follower does not hold the entry that an append builds on.
    Rejected {
        term: Term,
        /// The index that the append built on.
        prev: Index,
        /// Where the logs may agree: the follower's last entry at or below
        /// `prev` whose term is not above that of the append's `prev`.
        hint: EntryId,
    },
    /// The leader is alive. Tells what is committed and asks for confirmation.
    Heartbeat(Heartbeat),
    /// The answer to it: "I still follow you in this term".
    HeartbeatAck {
        term: Term,
        /// The round of the heartbeat.
        round: Round,
        /// The follower's log is equal to the leader's up to here. It need not be durable yet, so this counts for
        /// nothing but telling a slow follower from lost appends.
        received: Index,
        /// Whether it has no room for entries: then none are sent.
        full: bool,
    },
    /// A snapshot has arrived in full and was verified (Raft §7).
    InstallSnapshot {
        term: Term,
        meta: SnapshotMeta,
    },
    /// The leader asks this voter to stand for election at once (thesis §3.10).
    TimeoutNow {
        term: Term,
    },
}

/// A candidate asks for a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestVote {
    /// The candidate's term; in a pre-vote the term it would stand in.
    pub term: Term,
    /// The end of its log, which voters compare with theirs (Raft §5.4.1).
    pub last: EntryId,
    /// Whether this is a pre-vote, which only asks.
    pub pre: bool,
    /// Whether the leader asked it to stand: then voters need not wait for the leader to fall silent (thesis §4.2.3).
    pub transfer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// The voter's term; in a granted pre-vote the term that was asked about.
    pub term: Term,
    pub granted: bool,
    /// Whether it answers a pre-vote.
    pub pre: bool,
}

/// Entries to append after a known one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Append {
    pub term: Term,
    /// The entry before the first one.
    pub prev: EntryId,
    /// The entries, without gaps. Empty: a probe whether `prev` is there.
    pub entries: Vec<Entry>,
    /// The leader's commit index. It counts only up to the end of these entries: beyond, the follower's log
    /// may still differ.
    pub commit: Index,
}

/// Tells that the leader is alive, and what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    pub term: Term,
    /// The commit index, capped at what the follower is known to hold.
    pub commit: Index,
    /// Repeated in the answer.
    pub round: Round,
}

/// The number of a round of heartbeats within a term. An answer confirms leadership
/// for all reads that began before its round was sent, and for none after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

impl Message {
    /// Whether it states something about its sender that must still be true after a crash: then it may leave
    /// only when the term and the vote behind it are durable (Raft figure 2: "updated on stable storage
    /// before responding to RPCs").
    pub(crate) fn rests_on_hard_state(&self) -> bool {
        match self {
            // A candidacy is a vote for ourselves; asking for a pre-vote enters no term (thesis §9.6).
            Self::RequestVote(request) => !request.pre,
            // A promise to vote is not binding. A refusal shows our term.
            Self::Vote(vote) => !(vote.pre && vote.granted),
            // "In this term I hold this", "I do not", "I follow you": promises to the leader of a term.
            Self::Accepted { .. } | Self::Rejected { .. } | Self::HeartbeatAck { .. } => true,
            // A leader's term was durable before it was elected; sending entries promises nothing about them
            // (thesis §10.2.1), and it counts itself only for those on its disk.
            Self::Append(_) | Self::Heartbeat(_) | Self::InstallSnapshot { .. } | Self::TimeoutNow { .. } => {
                false
            }
        }
    }

    /// The term of the message.
    pub fn term(&self) -> Term {
        match self {
            Self::RequestVote(RequestVote { term, .. })
            | Self::Vote(Vote { term, .. })
            | Self::Append(Append { term, .. })
            | Self::Accepted { term, .. }
            | Self::Rejected { term, .. }
            | Self::Heartbeat(Heartbeat { term, .. })
            | Self::HeartbeatAck { term, .. }
            | Self::InstallSnapshot { term, .. }
            | Self::TimeoutNow { term } => *term,
        }
    }
}
