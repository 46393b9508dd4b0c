//! Everything that can happen to the loop.

use crate::budget::Charge;
use crate::machine::{Machine, Reply};
use crate::member::Member;
use crate::raft::{LogRead, LogSlice, Mark, Message, SnapshotMeta};
use crate::replica::error::{AdvertiseError, InstallError, TransferError};
use crate::replica::waiters::{Batch, ReadWaiter, WriteWaiter};
use crate::storage::VerifiedState;
use crate::types::{EntryId, Index, NodeId, Term};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The requests of clients. Bounded by a queue, which refuses when it is full.
#[derive(Debug)]
pub(crate) enum Request {
    Write(Write),
    /// Confirm leadership for a read.
    Read(ReadWaiter),
    Transfer {
        to: Option<NodeId>,
        reply: oneshot::Sender<Result<NodeId, TransferError>>,
    },
    /// Replace a member's URLs.
    Advertise {
        member: Member,
        reply: oneshot::Sender<Result<(), AdvertiseError>>,
    },
    /// Install a received snapshot.
    Install(Box<Install>),
    Stop(oneshot::Sender<()>),
}

/// A command to be put into the log.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) command: Bytes,
    pub(crate) deadline: Instant,
    pub(crate) waiter: WriteWaiter,
    /// Held until it is proposed; from then on the log's tail bounds it.
    pub(crate) _charge: Charge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub id: EntryId,
    pub reply: Reply,
}

/// A snapshot that arrived in full, was verified and is durable.
#[derive(Debug)]
pub(crate) struct Install {
    pub(crate) from: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: Box<dyn VerifiedState>,
    /// The state machine on top of it, opened and verified to be what was announced.
    pub(crate) machine: Machine,
    pub(crate) reply: oneshot::Sender<Result<(Term, Index), InstallError>>,
}

/// A message from a peer. Bounded by a queue, which drops when it is full.
#[derive(Debug)]
pub(crate) struct PeerMessage {
    pub(crate) from: NodeId,
    pub(crate) message: Message,
}

/// What the workers and the network report. Bounded by the work that they were given.
#[derive(Debug)]
pub(crate) enum Fact {
    /// Log writes up to this one are durable.
    Persisted(Mark),
    /// Log writes before this one can be read from the log's store, and its entries up to an index.
    Stored(Mark, Index),
    /// Entries read from the log's store; `None` if they were compacted.
    LogRead(LogRead, Option<LogSlice>),
    /// Readers can see what these writes did.
    Applied(Batch),
    /// The state up to this entry is durable.
    StateDurable(Index),
    Installed(SnapshotMeta),
    /// Messages to or from a peer were lost.
    PeerLost(NodeId),
    /// The sending of a snapshot ended, with the index that the peer has applied.
    SnapshotSent(NodeId, Option<Index>),
}
