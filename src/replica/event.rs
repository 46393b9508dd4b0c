//! Everything that can happen to the loop.

use crate::raft::{Mark, Message, SnapshotMeta};
use crate::replica::error::{InstallError, ReadError, TransferError, WriteError};
use crate::replica::handle::Applied;
use crate::storage::VerifiedState;
use crate::types::{Index, NodeId, Term};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What clients ask. Bounded by a queue; a full one refuses.
#[derive(Debug)]
pub(crate) enum Request {
    /// Replicate a command.
    Write(Write),
    /// Confirm leadership for a read.
    Read(oneshot::Sender<Result<Index, ReadError>>),
    /// Hand leadership over.
    Transfer { to: Option<NodeId>, reply: oneshot::Sender<Result<NodeId, TransferError>> },
    /// Install a received snapshot.
    Install(Box<Install>),
    /// End the loop.
    Stop(oneshot::Sender<()>),
}

/// A command on its way into the log.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) command: Bytes,
    pub(crate) deadline: Instant,
    pub(crate) reply: WriteReply,
}

/// Where a write's outcome goes.
pub(crate) type WriteReply = oneshot::Sender<Result<Applied, WriteError>>;

/// A snapshot that arrived in full, was verified and is durable.
#[derive(Debug)]
pub(crate) struct Install {
    pub(crate) from: NodeId,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: VerifiedState,
    pub(crate) reply: oneshot::Sender<Result<(Term, Index), InstallError>>,
}

/// What a peer said. Bounded by a queue; a full one drops.
#[derive(Debug)]
pub(crate) struct PeerMessage {
    pub(crate) from: NodeId,
    pub(crate) message: Message,
}

/// What the workers and the network report. Few, bounded by the work that was given out.
#[derive(Debug)]
pub(crate) enum Fact {
    /// Log writes up to this one are durable.
    Persisted(Mark),
    /// The state up to this entry is durable.
    StateDurable(Index),
    /// A snapshot was installed.
    Installed(SnapshotMeta),
    /// Messages to or from a peer were lost.
    PeerLost(NodeId),
    /// The sending of a snapshot ended, with the index that the peer has applied.
    SnapshotSent(NodeId, Option<Index>),
}
