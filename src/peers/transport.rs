//! The connections as the rest of the node sees them: where the core's messages
//! go, what answers the peers, and what is known of the members.

use crate::api::peer_calls::{MemberInfo, PeerCalls};
use crate::peers::events::PeerEvents;
use crate::peers::identity::{Identity, KnownDirectories};
use crate::peers::introduce::{self, IntroduceError};
use crate::peers::link::PeerAddress;
use crate::peers::links::{BadAddress, Links};
use crate::peers::raft_service::RaftService;
use crate::peers::settings::PeerSettings;
use crate::peers::{calls, connection, dialer, snapshot_sender};
use crate::proto::raft::raft_service_server::RaftServiceServer;
use crate::raft::Message;
use crate::replica::{Snapshot, Transport};
use crate::types::{Index, NodeId, Term};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::{Channel, Server};

/// The other nodes. A clone is the same connections.
#[derive(Clone)]
pub struct Peers {
    links: Links,
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
        Ok(Self { links: Links::new(own, members, known, settings, stopping)? })
    }

    /// Introduces this node to the others, and waits until a majority of them
    /// has accepted it, however long that takes. Says in the log for whom it waits.
    pub async fn introduce(&self) -> Result<(), IntroduceError> {
        introduce::run(&self.links).await
    }

    /// Connects to all peers and delivers what they say from now on. Only the
    /// first call counts.
    pub fn start(&self, events: Arc<dyn PeerEvents>) {
        if !self.links.set_events(events) {
            return;
        }
        for link in self.links.all() {
            self.links.runtime().spawn(dialer::run(self.links.clone(), link.clone()));
        }
    }

    /// What answers the peers, for the peer listener.
    pub fn service(&self) -> RaftServiceServer<RaftService> {
        RaftServiceServer::new(RaftService::new(self.links.clone()))
            .max_decoding_message_size(self.links.settings().message_bytes)
    }

    /// A server for the peer listener, with the settings that its connections need.
    pub fn server(&self) -> Server {
        connection::server(self.links.settings())
    }
}

impl Transport for Peers {
    fn send(&self, to: NodeId, message: Message) -> bool {
        let Some(link) = self.links.get(to) else { return false };
        let (links, runtime) = (&self.links, self.links.runtime());
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
                calls::start(runtime, link, calls::ask_vote(links.clone(), link.clone(), request))
            }
            Message::TimeoutNow { term } => {
                calls::start(runtime, link, calls::hand_over(links.clone(), link.clone(), term))
            }
            // Says that a snapshot has arrived, to the node where it did; it never travels.
            Message::InstallSnapshot { .. } => false,
        }
    }

    fn send_snapshot(&self, to: NodeId, term: Term, snapshot: Snapshot) {
        if let Some(link) = self.links.get(to) {
            let task = snapshot_sender::run(self.links.clone(), link.clone(), term, snapshot);
            link.sends_snapshot(self.links.runtime().spawn(task).abort_handle());
        }
    }
}

#[tonic::async_trait]
impl PeerCalls for Peers {
    fn channel(&self, node: NodeId) -> Option<Channel> {
        self.links.get(node).map(|link| link.calls.clone())
    }

    fn member(&self, node: NodeId) -> Option<MemberInfo> {
        let (address, client_url) = match self.links.get(node) {
            Some(link) => (&link.address, link.client_url()),
            None if node == self.links.own().node => {
                (self.links.own(), Some(self.links.gate().own().client_url.clone()))
            }
            None => return None,
        };
        let PeerAddress { node, name, peer_url } = address.clone();
        Some(MemberInfo { node, name, peer_url, client_url })
    }

    fn members(&self) -> Vec<MemberInfo> {
        let mut nodes: Vec<NodeId> = self.links.all().map(|link| link.node()).collect();
        nodes.push(self.links.own().node);
        nodes.sort_unstable();
        nodes.into_iter().filter_map(|node| self.member(node)).collect()
    }

    async fn read_index(&self, leader: NodeId, deadline: Instant) -> Result<Index, Status> {
        let Some(link) = self.links.get(leader) else {
            return Err(Status::failed_precondition(format!("node {leader} is no other member")));
        };
        let (links, to) = (self.links.clone(), link.clone());
        let call = move |latest| calls::read_index(links.clone(), to.clone(), latest);
        link.reads.wait(deadline, call).await
    }
}
