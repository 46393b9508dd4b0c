//! What every operation on this node needs, in one place.

use crate::api::heavy::HeavyReads;
use crate::api::read_level::ReadLevel;
use crate::api::router::Router;
use crate::api::served::Origin;
use crate::budget::Budget;
use crate::connections::readers::ReadingTime;
use crate::machine::View;
use crate::replica::Applied;
use crate::settings::Limits;
use crate::types::{ClusterId, NodeId, Revision};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// The entry point for all requests, shared by all listeners.
#[derive(Clone)]
pub struct Api {
    /// The way to the leader, by this node's replica or the other nodes.
    pub router: Router,
    pub cluster: ClusterId,
    pub name: String,
    /// The limits on requests.
    pub limits: Limits,
    pub version: &'static str,
    /// What an acknowledged write is worth: "fdatasync".
    pub durability: String,
    pub started: Instant,
    /// Becomes true when the node begins to stop: then it is not ready any more, and long streams end.
    pub shutting_down: watch::Receiver<bool>,
    /// How much may run at the same time.
    pub bounds: Bounds,
}

/// How much may run at the same time on a node, besides the limit on requests in flight.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Reads that take a thread.
    pub heavy: HeavyReads,
    /// Hashes of the whole state.
    pub hashes: HeavyReads,
    /// Scans. Each pins a view of the state while it is read.
    pub scans: Arc<Semaphore>,
    /// Snapshots. Each reads the whole state.
    pub snapshots: Arc<Semaphore>,
    /// The bytes of requests that arrive or are in progress, for all connections together.
    pub requests: Arc<Budget>,
    /// The bytes of answers that clients have not read yet.
    pub answers: Arc<Budget>,
    /// How long they may lie there.
    pub reading_time: ReadingTime,
    /// A client that reads nothing of a scan or snapshot for this long is cut off.
    pub reader_patience: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Bounds {
    /// Within these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            requests: Budget::new(limits.request_memory_bytes),
            answers: Budget::new(limits.answer_memory_bytes),
            reading_time: ReadingTime::USUAL,
            heavy: HeavyReads::new(16),
            hashes: HeavyReads::of_hashes(),
            scans: Arc::new(Semaphore::new(256)),
            snapshots: Arc::new(Semaphore::new(2)),
            reader_patience: Duration::from_secs(60),
        }
    }
}

impl Api {
    /// The same, for tasks of the current runtime, which serves the clients.
    pub fn for_clients_here(mut self) -> Self {
        self.router.handle = self.router.handle.for_clients_here();
        self
    }

    pub fn node(&self) -> NodeId {
        self.router.own
    }

    /// Whether the node began to stop.
    pub fn is_shutting_down(&self) -> bool {
        *self.shutting_down.borrow()
    }

    /// Returns when the node begins to stop.
    pub async fn shut_down(&self) {
        // An error means that the sender is gone, which amounts to the same.
        let _ = self.shutting_down.clone().wait_for(|stopping| *stopping).await;
    }

    /// The origin of an answer about this node.
    pub fn origin(&self) -> Origin {
        let view = self.router.handle.view();
        self.origin_of(&view, view.revision(), None)
    }

    /// The origin of an answer from a view; `revision` is the one that was read.
    pub(in crate::api) fn origin_of(
        &self,
        view: &View,
        revision: Revision,
        level: Option<ReadLevel>,
    ) -> Origin {
        let status = self.router.handle.status();
        Origin {
            node: self.node(),
            name: self.name.clone(),
            role: status.role,
            term: status.term,
            revision,
            applied: view.applied().index,
            level,
        }
    }

    /// The origin of the answer to a write: the node that led when its entry was made.
    pub(in crate::api) fn origin_of_write(&self, leader: NodeId, applied: &Applied) -> Origin {
        let name = match leader == self.node() {
            true => self.name.clone(),
            false => self.router.name_of(leader),
        };
        Origin {
            node: leader,
            name,
            role: crate::raft::RoleName::Leader,
            term: applied.id.term,
            revision: applied.reply.revision,
            applied: applied.id.index,
            level: None,
        }
    }
}
