//! Everything this node holds about one peer: its connections and what is queued for it.

use crate::machine::ClusterVersion;
use crate::peers::callers::{Caller, Callers, RunsTwice};
use crate::peers::identity::Acquaintance;
use crate::peers::lane::{LaneReceiver, LaneSender, lane};
use crate::peers::questions::Questions;
use crate::peers::read_index::ReadIndexLine;
use crate::peers::routes::Routes;
use crate::peers::settings::PeerSettings;
use crate::peers::short_lock::locked;
use crate::raft::{Message, Vote};
use crate::types::NodeId;
use arc_swap::ArcSwapOption;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, broadcast, oneshot, watch};
use tokio::task::AbortHandle;

/// The most unary consensus calls to a peer, and from it, at once. Elections need one or two; more pile up
/// only if nobody answers.
const CALLS_AT_ONCE: usize = 8;

pub struct Link {
    node: NodeId,
    pub name: String,
    /// Where it is dialled.
    pub routes: Routes,
    /// Bounds the calls that [`Transport::send`](crate::replica::Transport::send) starts.
    pub outgoing: Arc<Semaphore>,
    /// Bounds the vote requests of the peer that wait for an answer.
    pub incoming: Semaphore,
    /// Our core's votes for the peer; the calls that ask for one subscribe to it.
    pub votes: broadcast::Sender<Vote>,
    /// Questions to the peer.
    pub questions: Questions,
    /// Reads that wait for the peer's read index.
    pub reads: ReadIndexLine,
    /// Our append stream to the peer, or the attempt to open one.
    requests: ArcSwapOption<LaneSender>,
    /// The peer's newest append stream to us: its answers.
    replies: ArcSwapOption<InboundStream>,
    /// The peer's append streams to us. Held only while one replaces another.
    inbound: Mutex<Inbound>,
    /// Whether the node at the peer's address was checked to be the peer since the last loss.
    acquainted: AtomicBool,
    /// Whether a loss was reported since a stream was last opened.
    lost: AtomicBool,
    /// The newest cluster version that the peer's program supports; 0: unknown.
    supports: AtomicU32,
    /// How many snapshots were begun.
    snapshots: AtomicU64,
    /// The snapshot that is being sent.
    snapshot: Mutex<Option<AbortHandle>>,
    /// Becomes true when the peer is no longer a member.
    removed: watch::Sender<bool>,
    queue: (usize, usize),
}

/// The append streams of the peer, one after the other.
#[derive(Default)]
struct Inbound {
    newest: u64,
    callers: Callers,
}

struct InboundStream {
    lane: LaneSender,
    /// Dropped with this: ends the stream.
    _replaced: oneshot::Sender<()>,
}

/// What the server of a newly opened inbound append stream works with.
pub struct InboundOpen {
    /// Numbers the peer's streams.
    pub number: u64,
    /// The answers that our core gives.
    pub lane: LaneReceiver,
    /// Ends when a newer stream replaces this one.
    pub replaced: oneshot::Receiver<()>,
}

impl Link {
    /// A link; nothing is connected yet.
    pub fn new(node: NodeId, name: String, routes: Routes, settings: &PeerSettings) -> Self {
        Self {
            node,
            name,
            routes,
            outgoing: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            incoming: Semaphore::new(CALLS_AT_ONCE),
            votes: broadcast::Sender::new(2 * CALLS_AT_ONCE),
            questions: Questions::new(settings.questions, settings.question_bytes),
            reads: ReadIndexLine::default(),
            requests: ArcSwapOption::empty(),
            replies: ArcSwapOption::empty(),
            inbound: Mutex::default(),
            acquainted: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            supports: AtomicU32::new(0),
            snapshots: AtomicU64::new(0),
            snapshot: Mutex::new(None),
            removed: watch::Sender::new(false),
            queue: (settings.queue_messages, settings.queue_bytes),
        }
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Queues an append or heartbeat. False: dropped.
    pub fn send_request(&self, message: Message) -> bool {
        self.requests.load().as_ref().is_some_and(|lane| lane.send(message))
    }

    /// Queues an answer to an append or heartbeat. False: dropped.
    pub fn send_reply(&self, message: Message) -> bool {
        self.replies.load().as_ref().is_some_and(|stream| stream.lane.send(message))
    }

    /// Opens an empty lane for requests. What an older one still held is dropped: it counts as lost, and Raft
    /// sends it again.
    pub fn open_requests(&self) -> LaneReceiver {
        let (sender, receiver) = lane(self.queue.0, self.queue.1);
        self.requests.store(Some(Arc::new(sender)));
        receiver
    }

    /// Ends the lane for requests, and with it the stream that drains it.
    pub fn close_requests(&self) {
        self.requests.store(None);
    }

    /// Notes a new append stream of the peer, which replaces an older one; unless the peer runs twice.
    pub fn open_inbound(&self, caller: Caller) -> Result<InboundOpen, RunsTwice> {
        let (sender, receiver) = lane(self.queue.0, self.queue.1);
        let (guard, replaced) = oneshot::channel();
        let mut inbound = locked(&self.inbound);
        inbound.callers.opens(caller)?;
        inbound.newest += 1;
        self.replies.store(Some(Arc::new(InboundStream { lane: sender, _replaced: guard })));
        Ok(InboundOpen { number: inbound.newest, lane: receiver, replaced })
    }

    /// Notes the end of an append stream of the peer. False: it had been replaced.
    pub fn close_inbound(&self, number: u64) -> bool {
        let mut inbound = locked(&self.inbound);
        let is_newest = inbound.newest == number;
        if is_newest {
            inbound.callers.ended();
            self.replies.store(None);
        }
        is_newest
    }

    /// The peer was admitted.
    pub fn heard_from(&self, peer: &Acquaintance) {
        self.supports.store(peer.supports.get(), Ordering::Relaxed);
        self.routes.said(&peer.peer_urls);
    }

    /// The node that answers at the peer's address was checked to be the peer.
    pub fn met(&self, peer: &Acquaintance) {
        self.heard_from(peer);
        self.acquainted.store(true, Ordering::Release);
    }

    /// Whether the node at the peer's address was checked since the last loss.
    pub fn is_acquainted(&self) -> bool {
        self.acquainted.load(Ordering::Acquire)
    }

    /// A stream was opened: the next loss is to be reported.
    pub fn opened(&self) {
        self.lost.store(false, Ordering::Release);
    }

    /// A stream broke. True if that is to be reported: a peer that dies breaks both of its streams.
    pub fn broke(&self) -> bool {
        self.acquainted.store(false, Ordering::Release);
        !self.lost.swap(true, Ordering::AcqRel)
    }

    /// The newest cluster version that the peer's program knows, once it was heard from.
    pub fn supports(&self) -> Option<ClusterVersion> {
        Some(self.supports.load(Ordering::Relaxed)).filter(|version| *version > 0).map(ClusterVersion)
    }

    /// The peer is no longer a member: closes everything that is open to it.
    pub fn remove(&self) {
        self.removed.send_replace(true);
        self.close_requests();
        self.replies.store(None);
        if let Some(sending) = locked(&self.snapshot).take() {
            sending.abort();
        }
    }

    /// Resolves when the peer is no longer a member.
    pub async fn removed(&self) {
        // The sender lives as long as the link, so there is no error.
        let _ = self.removed.subscribe().wait_for(|removed| *removed).await;
    }

    /// The number of a snapshot that is about to be sent.
    pub fn number_snapshot(&self) -> u64 {
        self.snapshots.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn is_newest_snapshot(&self, number: u64) -> bool {
        self.snapshots.load(Ordering::Relaxed) == number
    }

    /// Notes the task that sends a snapshot; an older one is stopped.
    pub fn sends_snapshot(&self, task: AbortHandle) {
        if let Some(older) = locked(&self.snapshot).replace(task) {
            older.abort();
        }
    }
}
