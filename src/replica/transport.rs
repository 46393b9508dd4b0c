//! The interface between the loop and the network.

use crate::raft::{Message, SnapshotMeta};
use crate::types::{NodeId, Term};
use bytes::Bytes;
use std::fmt;
use tokio::sync::mpsc;

/// Sends messages to peers. The real one is [`peers`](crate::peers), over gRPC.
///
/// Messages may be lost (Raft repairs that), but losses that it knows of are reported through
/// [`Handle::peer_lost`](crate::replica::Handle::peer_lost).
pub trait Transport: Send + Sync + 'static {
    /// Queues a message and returns at once. False: the queue is full or the
    /// peer unknown, and the message is dropped.
    fn send(&self, to: NodeId, message: Message) -> bool;

    /// Starts to send a snapshot to a peer, in the background and on a separate connection, and reports the
    /// outcome through [`Handle::snapshot_sent`](crate::replica::Handle::snapshot_sent).
    fn send_snapshot(&self, to: NodeId, term: Term, snapshot: Snapshot);
}

pub struct Snapshot {
    pub meta: SnapshotMeta,
    /// The bytes of its file, in order, encoded while they are read: each call of `next` may wait for the
    /// disk. An error means that the file is incomplete.
    pub pieces: Box<dyn Iterator<Item = Result<Bytes, SnapshotError>> + Send>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// The bytes of a snapshot file, encoded while they are read. Dropping it stops the encoding.
#[derive(Debug)]
pub struct SnapshotStream {
    pub meta: SnapshotMeta,
    /// The file, in order. Ends after the last piece; an error means that it is incomplete.
    pub chunks: mpsc::Receiver<Result<Bytes, SnapshotError>>,
}

/// A snapshot could not be made, received or installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotError(pub String);
