//! The interface of a replica for the layers above.

use crate::budget::Budget;
use crate::machine;
use crate::member::Member;
use crate::raft::{Members, Message, SnapshotMeta};
use crate::replica::error::{AdvertiseError, InstallError, ReadError, TransferError, WriteError};
use crate::replica::event::{Applied, Fact, PeerMessage, Request, Write};
use crate::replica::published::Published;
use crate::replica::snapshot::{self, ReceivedSnapshot, SnapshotIntake};
use crate::replica::status::Status;
use crate::replica::waiters::{Side, Waiter};
use crate::replica::transport::{Snapshot, SnapshotError, SnapshotStream};
use crate::storage::StateStore;
use crate::types::{ClusterId, Index, NodeId, Revision, Term};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

/// A loop or disk that has been silent for longer counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// The most bytes of commands that may wait for the loop.
pub(crate) const WAITING_BYTES_MAX: usize = 256 << 20;

/// The interface of a replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
    /// Where those who use this one wait.
    pub(crate) side: Side,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) cluster: ClusterId,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) messages: mpsc::Sender<PeerMessage>,
    pub(crate) facts: mpsc::UnboundedSender<Fact>,
    pub(crate) published: Arc<Published>,
    pub(crate) states: Arc<dyn StateStore>,
    pub(crate) receiving: Arc<Semaphore>,
    /// The bytes of commands that wait for the loop.
    pub(crate) waiting_bytes: Arc<Budget>,
}

impl Handle {
    /// The same replica, for tasks of the current runtime, which serves the clients: those who wait there are
    /// answered together.
    pub fn for_clients_here(&self) -> Self {
        self.inner.published.clients_thread.is_this(Arc::clone(&self.inner.published));
        Self { side: Side::Clients, ..self.clone() }
    }

    /// Replicates a command (in its encoding) and waits until it is applied here; only on the leader. Giving
    /// up waiting does not undo the write.
    pub async fn write(&self, command: Bytes, deadline: Instant) -> Result<Applied, WriteError> {
        let (reply, outcome) = oneshot::channel();
        let charge = self.inner.waiting_bytes.charge(command.len());
        let charge = charge.ok_or(WriteError::Overloaded("too many bytes wait for the loop"))?;
        let waiter = Waiter { reply, side: self.side };
        let write = Request::Write(Write { command, deadline, waiter, _charge: charge });
        self.inner.requests.try_send(write).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WriteError::Overloaded("requests wait for the loop"),
            mpsc::error::TrySendError::Closed(_) => WriteError::Stopping,
        })?;
        let lost = WriteError::Unknown("the node stopped before the write was applied");
        outcome.await.unwrap_or(Err(lost))
    }

    /// Confirms leadership (ReadIndex) and returns the index that a linearizable read must have applied; only
    /// on the leader.
    pub async fn read_index(&self) -> Result<Index, ReadError> {
        let (reply, outcome) = oneshot::channel();
        let waiter = Waiter { reply, side: self.side };
        self.inner.requests.try_send(Request::Read(waiter)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopping,
        })?;
        outcome.await.unwrap_or(Err(ReadError::Stopping))
    }

    /// Waits until the state includes `index`.
    pub async fn wait_applied(&self, index: Index) -> Result<Arc<machine::View>, ReadError> {
        self.wait(|(applied, _)| *applied >= index).await
    }

    /// Waits until the store has reached `revision`.
    pub async fn wait_revision(&self, revision: Revision) -> Result<Arc<machine::View>, ReadError> {
        self.wait(|(_, reached)| *reached >= revision).await
    }

    async fn wait(
        &self,
        mut is_there: impl FnMut(&(Index, Revision)) -> bool,
    ) -> Result<Arc<machine::View>, ReadError> {
        let view = self.view();
        if is_there(&(view.applied().index, view.revision())) {
            return Ok(view);
        }
        let published = &self.inner.published;
        let mut progress = published.progress();
        let mut reached = false;
        let awaited = progress.wait_for(|progress| {
            reached = is_there(progress);
            reached || published.is_stopping()
        });
        let ended = awaited.await.is_err();
        if ended || !reached { Err(ReadError::Stopping) } else { Ok(self.view()) }
    }

    /// How many requests wait for the loop.
    pub fn waiting(&self) -> usize {
        self.inner.requests.max_capacity() - self.inner.requests.capacity()
    }

    /// The newest applied state.
    pub fn view(&self) -> Arc<machine::View> {
        self.inner.published.view()
    }

    /// The consensus side of the node, as of the loop's last turn.
    pub fn status(&self) -> Arc<Status> {
        self.inner.published.status()
    }

    /// The same, changing only with role, term, leader or members.
    pub fn watch_status(&self) -> watch::Receiver<Arc<Status>> {
        self.inner.published.status_changes()
    }

    /// The members in force, for those who wait for others.
    pub fn watch_members(&self) -> watch::Receiver<Arc<Members>> {
        self.inner.published.members()
    }

    /// Bytes on disk, refreshed about every second.
    pub fn disk_bytes(&self) -> u64 {
        self.inner.published.disk_bytes()
    }

    /// The longest that the state machine was busy with one entry since the start.
    pub fn longest_apply(&self) -> Duration {
        self.inner.published.longest_apply()
    }

    /// Whether loop and disk have answered lately. Never depends on a quorum.
    pub fn alive(&self) -> bool {
        self.inner.published.is_alive(SILENCE_MAX)
    }

    /// Delivers a validated message from a peer. False: the queue is full, and it was dropped.
    pub fn deliver(&self, from: NodeId, message: Message) -> bool {
        self.inner.messages.try_send(PeerMessage { from, message }).is_ok()
    }

    /// Messages to or from a peer were lost, or its connection broke.
    pub fn peer_lost(&self, peer: NodeId) {
        // Here and below: if the loop has ended, nobody needs the fact.
        let _ = self.inner.facts.send(Fact::PeerLost(peer));
    }

    /// The sending of a snapshot ended: with the index that the peer has applied, or a failure. The core decides when
    /// to try again.
    pub fn snapshot_sent(&self, peer: NodeId, outcome: Result<Index, SnapshotError>) {
        let applied = outcome.inspect_err(|error| {
            tracing::warn!(peer = self.status().name_of(peer), %error, "a snapshot was not delivered");
        });
        let _ = self.inner.facts.send(Fact::SnapshotSent(peer, applied.ok()));
    }

    /// Hands leadership to another voter, the most up-to-date one if none is named, and waits until a new
    /// leader is known; only on the leader.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let (reply, outcome) = oneshot::channel();
        let request = Request::Transfer { to, reply };
        self.inner.requests.send(request).await.map_err(|_| TransferError::Stopping)?;
        outcome.await.unwrap_or(Err(TransferError::Stopping))
    }

    /// Puts a member's URLs into the log, unless they are there already; only on the leader. The entry may still be
    /// overwritten: [`watch_members`](Self::watch_members) shows what became of it.
    pub async fn advertise(&self, member: Member) -> Result<(), AdvertiseError> {
        let (reply, outcome) = oneshot::channel();
        let request = Request::Advertise { member, reply };
        self.inner.requests.send(request).await.map_err(|_| AdvertiseError::Stopping)?;
        outcome.await.unwrap_or(Err(AdvertiseError::Stopping))
    }

    /// The newest state as a snapshot file, encoded while it is read.
    pub async fn snapshot(&self) -> Result<SnapshotStream, SnapshotError> {
        snapshot::of(self.inner.cluster, self.view()).map(Snapshot::stream)
    }

    /// Starts to receive a snapshot, on a blocking thread. Refused if another one is being received, or if it is stale.
    pub fn take_in_snapshot(
        &self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
    ) -> Result<SnapshotIntake, InstallError> {
        let status = self.status();
        if term < status.term {
            let why = format!("it is of term {term}, this node is in term {}", status.term);
            return Err(InstallError::Stale(why));
        }
        if meta.last.index <= status.commit {
            let why = format!("it ends at {}, this node has committed up to {}", meta.last, status.commit);
            return Err(InstallError::Stale(why));
        }
        let only_one = self.inner.receiving.clone().try_acquire_owned();
        let only_one = only_one.map_err(|_| InstallError::Busy(self.inner.published.applied()))?;
        let staged = self.inner.states.stage().map_err(|error| InstallError::Refused(error.to_string()))?;
        let (cluster, published) = (self.inner.cluster, self.inner.published.clone());
        Ok(SnapshotIntake { cluster, from, term, meta, staged, published, only_one })
    }

    /// Installs what was received. Returns this node's term and the index that its state includes now.
    pub async fn install(&self, received: ReceivedSnapshot) -> Result<(Term, Index), InstallError> {
        let (reply, outcome) = oneshot::channel();
        let (install, _only_one) = received.into_request(reply);
        let request = Request::Install(Box::new(install));
        self.inner.requests.send(request).await.map_err(|_| InstallError::Stopping)?;
        outcome.await.map_err(|_| InstallError::Stopping)?
    }

    /// Ends the loop and its workers; what was applied becomes durable first.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.inner.requests.send(Request::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }
}
