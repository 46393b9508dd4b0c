//! What every handler of the client API needs, in one place.

use crate::api::peer_calls::PeerCalls;
use crate::grpc::deadline::Deadline;
use crate::grpc::error::LeaderHint;
use crate::grpc::heavy::HeavyReads;
use crate::grpc::wire::header::{Answerer, Served, header};
use crate::grpc::wire::read::Level;
use crate::kv::View;
use crate::proto::v1;
use crate::replica::{Handle, Status};
use crate::settings::{Limits, Timing};
use crate::types::{NodeId, Revision};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tonic::Request;
use tonic::metadata::MetadataMap;

/// Marks a request that another node forwarded; it is never forwarded again,
/// and the peer listener takes no other.
/// Its value is that node's name.
pub const FORWARDED: &str = "kontiki-forwarded";

/// Shared by all services of a node.
pub struct Context {
    /// The way into the replica.
    pub handle: Handle,
    /// The other nodes.
    pub peers: Arc<dyn PeerCalls>,
    /// What requests must keep to.
    pub limits: Limits,
    /// How fast the cluster reacts: how long it is worth while to wait for a leader.
    pub timing: Timing,
    /// Cluster, node and name, as they go into headers.
    pub answerer: Answerer,
    /// Where clients reach this node.
    pub client_url: String,
    /// The program's version.
    pub version: &'static str,
    /// What an acknowledged write is worth, in words.
    pub durability: String,
    /// When the process started.
    pub started: Instant,
    /// Becomes true when the node begins to stop: it is no longer ready then,
    /// and long streams end.
    pub shutting_down: watch::Receiver<bool>,
    /// What may run at the same time.
    pub bounds: Bounds,
}

/// What may run at the same time on a node, beside the requests in flight.
#[derive(Debug)]
pub struct Bounds {
    /// Reads that take a thread.
    pub heavy: HeavyReads,
    /// Hashes of the whole state.
    pub hashes: HeavyReads,
    /// Scans. Each pins a picture of the state while it is read.
    pub scans: Arc<Semaphore>,
    /// Snapshots. Each reads everything there is.
    pub snapshots: Arc<Semaphore>,
    /// A client that takes nothing of a scan or snapshot for so long is cut off.
    pub reader_patience: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            heavy: HeavyReads::new(16),
            hashes: HeavyReads::of_hashes(),
            scans: Arc::new(Semaphore::new(256)),
            snapshots: Arc::new(Semaphore::new(2)),
            reader_patience: Duration::from_secs(60),
        }
    }
}

/// What a request brings along beside its message.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Until when it may take.
    pub deadline: Deadline,
    /// Whether another node forwarded it.
    pub forwarded: bool,
}

impl Call {
    /// The deadline that the client chose: only that one ends a stream, which
    /// else may take as long as it is read.
    pub fn own_deadline(&self) -> Option<Deadline> {
        self.deadline.is_from_client().then_some(self.deadline)
    }
}

impl Context {
    /// Reads what came along with a request.
    pub fn call(&self, metadata: &MetadataMap) -> Call {
        Call { deadline: Deadline::of(metadata, &self.limits), forwarded: metadata.contains_key(FORWARDED) }
    }

    /// A request to another node, marked as one that goes no further.
    pub fn forwarded<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        // A name that is no header value is replaced: the mark counts, not who made it.
        let mark = self.answerer.name.parse().unwrap_or_else(|_| self.node().get().into());
        request.metadata_mut().insert(FORWARDED, mark);
        request
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.answerer.node
    }

    /// Whether the node began to stop.
    pub fn is_shutting_down(&self) -> bool {
        *self.shutting_down.borrow()
    }

    /// Returns when the node begins to stop.
    pub async fn shut_down(&self) {
        // An error means that whoever would say so is gone, which is the same.
        let _ = self.shutting_down.clone().wait_for(|stopping| *stopping).await;
    }

    /// Where a node can be reached, for errors that send the client there.
    pub fn hint(&self, leader: NodeId) -> LeaderHint {
        let member = self.peers.member(leader);
        LeaderHint {
            id: leader.get(),
            name: member.as_ref().map(|member| member.name.clone()),
            url: member.and_then(|member| member.client_url),
        }
    }

    /// The header of an answer from a view; `revision` is what was read of it.
    pub fn read_header(&self, view: &View, revision: Revision, level: Level) -> v1::ResponseHeader {
        let status = self.handle.status();
        let applied = view.applied().index;
        header(&self.answerer, served(&status, revision, applied, Some(level)))
    }

    /// The header of an answer to a write.
    pub fn write_header(&self, applied: &crate::replica::Applied) -> v1::ResponseHeader {
        let status = self.handle.status();
        header(&self.answerer, served(&status, applied.reply.revision, applied.id.index, None))
    }

    /// The header of an answer about the node as it is.
    pub fn header(&self) -> v1::ResponseHeader {
        let view = self.handle.view();
        let status = self.handle.status();
        header(&self.answerer, served(&status, view.revision(), view.applied().index, None))
    }
}

fn served(status: &Status, revision: Revision, applied: crate::types::Index, level: Option<Level>) -> Served {
    Served { revision, applied, term: status.term.get(), role: status.role, level }
}
