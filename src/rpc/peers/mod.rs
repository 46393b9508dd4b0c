//! The connections to the other nodes.
//!
//! The core speaks in messages that may be lost; gRPC speaks in calls. This
//! module maps one to the other, for each peer on a [`link`] of its own:
//!
//! | the core says | it travels as |
//! |---|---|
//! | append, heartbeat | our outbound `AppendEntries` stream to the peer ([`dialer`], [`append_stream`]) |
//! | accepted, rejected, heartbeat ack | the way back on the peer's newest inbound `AppendEntries` stream |
//! | request vote, vote | a unary call and its answer ([`calls`], [`votes`]) |
//! | timeout now | a unary call ([`calls`]) |
//! | a snapshot | a client stream on a connection of its own, at a limited rate ([`snapshot_sender`], [`snapshot_receiver`]) |
//!
//! A peer has up to three connections, so that nothing small waits behind
//! something large: one for the append stream, one for calls (forwarded writes
//! are among them), and one for a snapshot while it is sent.
//!
//! *Nothing waits in the loop.* [`Transport::send`] queues or drops. Each
//! [`lane`] is bounded in messages and bytes and lives as long as its stream:
//! what a broken stream still held is dropped, since the core will send it
//! again when it learns of the loss. Heartbeats overtake the queue.
//!
//! *Losses are news.* A stream that ends is reported at once
//! ([`PeerEvents::peer_lost`]): a follower whose leader's process was killed
//! sees the end of its stream within a millisecond and need not wait out the
//! election timeout. A peer that falls silent without an end is found by the
//! keepalive of the connection. A loss is reported once, although it breaks
//! both directions.
//!
//! *Strangers are refused.* Both ends check the other's [`identity`] before a
//! message may reach the core. A new data directory first [`introduce`]s itself.
//!
//! The listener may be served before there is a replica: until
//! [`Peers::start`], `Introduce` is answered and everything else refused with
//! `NOT_READY`.

pub mod append_stream;
pub mod calls;
pub mod connection;
pub mod dialer;
pub mod events;
pub mod identity;
pub mod introduce;
pub mod lane;
pub mod link;
pub mod patience;
pub mod read_index;
pub mod refusal;
pub mod settings;
pub mod snapshot_receiver;
pub mod snapshot_sender;
pub mod votes;

pub use events::{PeerEvents, SnapshotSink};
pub use identity::{Identity, KnownDirectories, RememberError};
pub use introduce::IntroduceError;
pub use link::PeerAddress;
pub use refusal::{Reason, Refusal};
pub use settings::PeerSettings;

use crate::raft::Message;
use crate::replica::{Snapshot, Transport};
use crate::rpc::peer_calls::{MemberInfo, PeerCalls};
use crate::rpc::peers::identity::Gate;
use crate::rpc::peers::link::Link;
use crate::rpc::proto::raft::raft_service_server::RaftServiceServer;
use crate::rpc::raft_service::RaftService;
use crate::types::{Index, NodeId, Term};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::{Channel, Server};

/// The other nodes. A clone is the same connections.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    gate: Gate,
    /// This node, as its peers are given.
    own: PeerAddress,
    links: BTreeMap<NodeId, Arc<Link>>,
    settings: PeerSettings,
    events: OnceLock<Arc<dyn PeerEvents>>,
    stopping: watch::Receiver<bool>,
    runtime: tokio::runtime::Handle,
}

/// A member's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the peer address of {name} is no URL: {url:?}; expected http://host:port")]
pub struct BadAddress {
    name: String,
    url: String,
    source: tonic::transport::Error,
}

impl Peers {
    /// The members of `own`'s cluster, itself among them. Nothing is connected
    /// yet. `stopping` turning true ends all tasks and streams. Must be called
    /// within a tokio runtime.
    pub fn new(
        own: Identity,
        members: Vec<PeerAddress>,
        known: Arc<dyn KnownDirectories>,
        settings: PeerSettings,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, BadAddress> {
        let mut own_address = PeerAddress { node: own.node, name: own.name.clone(), peer_url: String::new() };
        let mut links = BTreeMap::new();
        for address in members {
            if address.node == own.node {
                own_address = address;
                continue;
            }
            let (name, url) = (address.name.clone(), address.peer_url.clone());
            let link = Link::new(address, &settings).map_err(|source| BadAddress { name, url, source })?;
            links.insert(link.node(), Arc::new(link));
        }
        let gate = Gate::new(own, links.keys().copied(), known);
        let runtime = tokio::runtime::Handle::current();
        let events = OnceLock::new();
        let inner = Inner { gate, own: own_address, links, settings, events, stopping, runtime };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Connects to all peers and delivers what they say from now on. Only the
    /// first call counts.
    pub fn start(&self, events: Arc<dyn PeerEvents>) {
        if self.inner.events.set(events).is_err() {
            return;
        }
        for link in self.inner.links.values() {
            self.inner.runtime.spawn(dialer::run(self.clone(), link.clone()));
        }
    }

    /// What answers the peers, for the peer listener.
    pub fn service(&self) -> RaftServiceServer<RaftService> {
        RaftServiceServer::new(RaftService::new(self.clone()))
            .max_decoding_message_size(self.inner.settings.message_bytes)
    }

    /// A server for the peer listener, with the settings that its connections need.
    pub fn server(&self) -> Server {
        connection::server(&self.inner.settings)
    }

    pub(in crate::rpc) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    pub(in crate::rpc) fn settings(&self) -> &PeerSettings {
        &self.inner.settings
    }

    pub(in crate::rpc) fn link(&self, node: NodeId) -> Option<&Arc<Link>> {
        self.inner.links.get(&node)
    }

    pub(in crate::rpc) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.inner.links.values()
    }

    /// The replica, once there is one.
    pub(in crate::rpc) fn events(&self) -> Result<&Arc<dyn PeerEvents>, Refusal> {
        self.inner.events.get().ok_or_else(|| {
            Refusal::new(
                Reason::NotReady,
                format!("{} is starting; try again in a moment", self.inner.own.name),
            )
        })
    }

    /// Resolves when the node stops.
    pub(in crate::rpc) async fn stopped(&self) {
        let mut stopping = self.inner.stopping.clone();
        // A sender that is gone means the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Reports a broken stream, unless the loss is known or this node itself is stopping.
    pub(in crate::rpc) fn report_loss(&self, link: &Link) {
        if link.broke()
            && !*self.inner.stopping.borrow()
            && let Ok(events) = self.events()
        {
            events.peer_lost(link.node());
        }
    }
}

impl Transport for Peers {
    fn send(&self, to: NodeId, message: Message) -> bool {
        let Some(link) = self.link(to) else { return false };
        match message {
            Message::Append(_) | Message::Heartbeat(_) => link.send_request(message),
            Message::Accepted { .. } | Message::Rejected { .. } | Message::HeartbeatAck { .. } => {
                link.send_reply(message)
            }
            Message::Vote(vote) => {
                // No listener means that nobody waits for the vote any more, not that the peer is lost.
                let _ = link.votes.send(vote);
                true
            }
            Message::RequestVote(request) => {
                calls::start(&self.inner.runtime, link, calls::ask_vote(self.clone(), link.clone(), request))
            }
            Message::TimeoutNow { term } => {
                calls::start(&self.inner.runtime, link, calls::hand_over(self.clone(), link.clone(), term))
            }
            // Says that a snapshot has arrived, to the node where it did; it never travels.
            Message::InstallSnapshot { .. } => false,
        }
    }

    fn send_snapshot(&self, to: NodeId, term: Term, snapshot: Snapshot) {
        if let Some(link) = self.link(to) {
            let task = snapshot_sender::run(self.clone(), link.clone(), term, snapshot);
            link.sends_snapshot(self.inner.runtime.spawn(task).abort_handle());
        }
    }
}

#[tonic::async_trait]
impl PeerCalls for Peers {
    fn channel(&self, node: NodeId) -> Option<Channel> {
        self.link(node).map(|link| link.calls.clone())
    }

    fn member(&self, node: NodeId) -> Option<MemberInfo> {
        let (address, client_url) = match self.link(node) {
            Some(link) => (&link.address, link.client_url()),
            None if node == self.inner.own.node => {
                (&self.inner.own, Some(self.gate().own().client_url.clone()))
            }
            None => return None,
        };
        let PeerAddress { node, name, peer_url } = address.clone();
        Some(MemberInfo { node, name, peer_url, client_url })
    }

    fn members(&self) -> Vec<MemberInfo> {
        let mut nodes: Vec<NodeId> = self.inner.links.keys().copied().collect();
        nodes.push(self.inner.own.node);
        nodes.sort_unstable();
        nodes.into_iter().filter_map(|node| self.member(node)).collect()
    }

    async fn read_index(&self, leader: NodeId, deadline: Instant) -> Result<Index, Status> {
        let Some(link) = self.link(leader) else {
            return Err(Status::failed_precondition(format!("node {leader} is no other member")));
        };
        let (peers, to) = (self.clone(), link.clone());
        let call = move |latest| calls::read_index(peers.clone(), to.clone(), latest);
        link.reads.wait(deadline, call).await
    }
}
