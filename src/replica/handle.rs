//! stub

use crate::kv;
use crate::raft::{self, SnapshotMeta};
use crate::replica::{InstallError, ReadError, SnapshotError, SnapshotStream, Status, TransferError, WriteError};
use crate::types::{EntryId, Index, NodeId, Revision, Term};
use bytes::Bytes;
use std::sync::Arc;

/// The way into a replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle;
/// A write was applied.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its entry.
    pub id: EntryId,
    /// Its answer.
    pub reply: kv::Reply,
}
/// Takes in a snapshot.
#[derive(Debug)]
pub struct SnapshotReceiver;
#[allow(missing_docs, unused_variables, clippy::todo, clippy::unused_async)]
impl Handle {
    pub async fn write(&self, command: Bytes, deadline: tokio::time::Instant) -> Result<Applied, WriteError> { todo!() }
    pub async fn read_index(&self) -> Result<Index, ReadError> { todo!() }
    pub async fn wait_applied(&self, index: Index) -> Result<Arc<kv::View>, ReadError> { todo!() }
    pub async fn wait_revision(&self, revision: Revision) -> Result<Arc<kv::View>, ReadError> { todo!() }
    pub fn view(&self) -> Arc<kv::View> { todo!() }
    pub fn status(&self) -> Arc<Status> { todo!() }
    pub fn watch_status(&self) -> tokio::sync::watch::Receiver<Arc<Status>> { todo!() }
    pub fn disk_bytes(&self) -> u64 { todo!() }
    pub fn alive(&self) -> bool { todo!() }
    pub fn deliver(&self, from: NodeId, message: raft::Message) -> bool { todo!() }
    pub fn peer_lost(&self, peer: NodeId) { todo!() }
    pub fn snapshot_sent(&self, peer: NodeId, outcome: Result<Index, SnapshotError>) { todo!() }
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> { todo!() }
    pub async fn snapshot(&self) -> Result<SnapshotStream, SnapshotError> { todo!() }
    pub async fn receive_snapshot(&self, from: NodeId, term: Term, meta: SnapshotMeta) -> Result<SnapshotReceiver, InstallError> { todo!() }
}
#[allow(missing_docs, unused_variables, clippy::todo, clippy::unused_async)]
impl SnapshotReceiver {
    pub async fn push(&mut self, data: Bytes) -> Result<(), InstallError> { todo!() }
    pub async fn finish(self) -> Result<(Term, Index), InstallError> { todo!() }
}
