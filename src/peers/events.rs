//! What the connections report to the replica: an interface, so that tests can take its place.

use crate::raft::{Message, SnapshotMeta};
use crate::replica::{Handle, InstallError, SnapshotError, SnapshotReceiver};
use crate::types::{Index, NodeId, Term};
use bytes::Bytes;

/// Receives what peers send. [`Handle`] is the real one.
#[tonic::async_trait]
pub trait PeerEvents: Send + Sync + 'static {
    /// A checked message from a member. False: the queue is full, and it is dropped.
    fn deliver(&self, from: NodeId, message: Message) -> bool;

    /// A connection to or from the peer broke.
    fn peer_lost(&self, peer: NodeId);

    /// A snapshot stream to the peer ended: with the index it has applied now, or an error.
    fn snapshot_sent(&self, peer: NodeId, outcome: Result<Index, SnapshotError>);

    /// A peer starts to send a snapshot.
    async fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
    ) -> Result<Box<dyn SnapshotSink>, InstallError>;
}

/// Receives a snapshot file. Dropping it discards what was received.
#[tonic::async_trait]
pub trait SnapshotSink: Send {
    /// The next bytes, already checked.
    async fn push(&mut self, data: Bytes) -> Result<(), InstallError>;

    /// The file is complete: installs it, and returns the node's term and the index that is applied now.
    async fn finish(self: Box<Self>) -> Result<(Term, Index), InstallError>;
}

#[tonic::async_trait]
impl PeerEvents for Handle {
    fn deliver(&self, from: NodeId, message: Message) -> bool {
        Handle::deliver(self, from, message)
    }

    fn peer_lost(&self, peer: NodeId) {
        Handle::peer_lost(self, peer);
    }

    fn snapshot_sent(&self, peer: NodeId, outcome: Result<Index, SnapshotError>) {
        Handle::snapshot_sent(self, peer, outcome);
    }

    async fn receive_snapshot(
        &self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
    ) -> Result<Box<dyn SnapshotSink>, InstallError> {
        Ok(Box::new(Handle::receive_snapshot(self, from, term, meta).await?))
    }
}

#[tonic::async_trait]
impl SnapshotSink for SnapshotReceiver {
    async fn push(&mut self, data: Bytes) -> Result<(), InstallError> {
        SnapshotReceiver::push(self, data).await
    }

    async fn finish(self: Box<Self>) -> Result<(Term, Index), InstallError> {
        SnapshotReceiver::finish(*self).await
    }
}
