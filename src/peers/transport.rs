//! The connections as the rest of the node sees them: the transport for the core's messages, the services for
//! peers, and what is known of the members.

use crate::api::node_status::NodeStatus;
use crate::api::remote::{Answer, Later, NoAnswer, OtherNodes, Question, Responder};
use crate::connections::door::{Door, Introduction};
use crate::connections::incoming::incoming;
use crate::connections::places::Places;
use crate::machine::ClusterVersion;
use crate::member::Member;
use crate::peers::events::PeerEvents;
use crate::peers::identity::{Identity, KnownDirectories};
use crate::peers::introduce::{self, IntroduceError};
use crate::peers::link::Link;
use crate::peers::links::{BadAddress, Links};
use crate::peers::raft_service::RaftService;
use crate::peers::settings::PeerSettings;
use crate::peers::wire::forward::{PeerAnswer, PeerQuestion};
use crate::peers::{calls, connection, follow, gate, refusal, snapshot_sender};
use crate::proto::raft::raft_service_server::RaftServiceServer;
use crate::raft::{Members, Message};
use crate::replica::{Snapshot, SnapshotError, Transport};
use crate::types::{Index, NodeId, Term};
use futures_util::StreamExt as _;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::service::Routes;

/// The connections to the other nodes. Clones share them.
#[derive(Clone)]
pub struct Peers {
    links: Links,
}

impl Peers {
    /// The members of `own`'s cluster, itself among them, as they were `given` to it. Nothing is connected
    /// yet. `stopping` turning true ends all tasks and streams. Must be called
    /// within a tokio runtime.
    pub fn new(
        own: Identity,
        given: Vec<Member>,
        known: Arc<dyn KnownDirectories>,
        settings: PeerSettings,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, BadAddress> {
        Ok(Self { links: Links::new(own, given, known, settings, stopping)? })
    }

    /// Introduces this node to the others, and waits until a majority of them
    /// has accepted it, however long that takes. Logs whom it waits for.
    pub async fn introduce(&self) -> Result<(), IntroduceError> {
        introduce::run(&self.links).await
    }

    /// Whom an [introduction](Self::introduce) waits for, in words; empty if for nobody yet.
    pub fn watch_waiting_for(&self) -> watch::Receiver<String> {
        self.links.waiting_for().subscribe()
    }

    /// Whether there are other members at all.
    pub fn has_others(&self) -> bool {
        !self.links.all().is_empty()
    }

    /// Whether any other member has reached this node since its start.
    pub fn is_reached(&self) -> bool {
        self.links.admission().is_reached()
    }

    /// Connects to all members and delivers what they say and ask from now on; the members are those that are watched.
    /// Only the first call counts.
    pub fn start(
        &self,
        events: Arc<dyn PeerEvents>,
        responder: Arc<dyn Responder>,
        mut members: watch::Receiver<Arc<Members>>,
    ) {
        if !self.links.open(events, responder) {
            return;
        }
        // Before anything is done for those who are named in the settings but are not members.
        self.links.follow(&members.borrow_and_update());
        for link in self.links.all() {
            follow::dial(&self.links, link);
        }
        self.links.runtime().spawn(follow::run(self.links.clone(), members));
    }

    /// The cluster has this version: programs that do not support it are not admitted any more.
    pub fn require(&self, version: ClusterVersion) {
        self.links.admission().require(version);
    }

    /// The newest cluster version that each member's program supports, including this node's; `None`: unknown.
    pub fn supported(&self) -> impl Iterator<Item = Option<ClusterVersion>> {
        let own = self.links.admission().own().supports;
        self.links.all().into_iter().map(|link| link.supports()).chain([Some(own)])
    }

    /// The services of the peer listener. A client that connects there by mistake learns where to go.
    fn routes(&self) -> Routes {
        let service = RaftServiceServer::new(RaftService::new(self.links.clone()))
            .max_decoding_message_size(self.links.settings().message_bytes);
        let own = self.links.admission().own();
        let refusal = refusal::wrong_listener(&own.name, &own.client_url);
        let refuse = move || {
            let refusal = refusal.clone();
            async move { refusal.into_http::<Body>() }
        };
        Routes::from(Routes::default().into_axum_router().fallback(refuse)).add_service(service)
    }

    /// Serves the peer listener's `socket` until the `shutdown`, as the only one who does: those of strangers end
    /// at the [`gate`] of a cluster that has a secret.
    pub async fn serve(
        &self,
        socket: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), tonic::transport::Error> {
        let settings = self.links.settings();
        let connections = incoming(socket, door(settings));
        let connections = match &settings.cluster_secret {
            Some(secret) => gate::admitted(connections, secret.clone(), settings).left_stream(),
            None => connections.right_stream(),
        };
        let server = connection::server(settings).add_routes(self.routes());
        server.serve_with_incoming_shutdown(connections, shutdown).await
    }
}

/// How connections to the peer listener are let in.
fn door(settings: &PeerSettings) -> Door {
    Door {
        turns: None,
        places: Places::new("peers", settings.connections, settings.connections_per_address),
        introduction: Introduction::Identity { bytes: settings.stranger_bytes },
        introduction_time: settings.introduction_time(),
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
                // Without a subscriber nobody waits for the vote any more; the peer is not lost.
                let _ = link.votes.send(vote);
                true
            }
            Message::RequestVote(request) => {
                calls::start(runtime, &link, calls::ask_vote(links.clone(), link.clone(), request))
            }
            Message::TimeoutNow { term } => {
                calls::start(runtime, &link, calls::hand_over(links.clone(), link.clone(), term))
            }
            // Local: tells a node that it has received a snapshot. Never sent.
            Message::InstallSnapshot { .. } => false,
        }
    }

    fn send_snapshot(&self, to: NodeId, term: Term, snapshot: Snapshot) {
        let Some(link) = self.links.get(to) else {
            // A member that is not followed yet, or no member any more.
            if let Ok(events) = self.links.events() {
                events.snapshot_sent(to, Err(SnapshotError("there is no connection to it".into())));
            }
            return;
        };
        let task = snapshot_sender::run(self.links.clone(), link.clone(), term, snapshot);
        link.sends_snapshot(self.links.runtime().spawn(task).abort_handle());
    }
}

impl OtherNodes for Peers {
    fn ask(&self, leader: NodeId, question: Question, deadline: Instant) -> Later<Result<Answer, NoAnswer>> {
        let Some(link) = self.links.get(leader) else {
            return Box::pin(async move { Err(unknown(leader)) });
        };
        if question == Question::ReadIndex {
            return Box::pin(async move { read_index(link, deadline).await.map(Answer::ReadIndex) });
        }
        let answer = link.questions.ask(PeerQuestion::Leader(question), deadline);
        Box::pin(async move { leaders_answer(answer.await?) })
    }

    fn status(&self, node: NodeId, deadline: Instant) -> Later<Result<NodeStatus, NoAnswer>> {
        let Some(link) = self.links.get(node) else {
            return Box::pin(async move { Err(unknown(node)) });
        };
        let answer = link.questions.ask(PeerQuestion::Status, deadline);
        Box::pin(async move {
            match answer.await? {
                PeerAnswer::Status(status) => Ok(*status),
                PeerAnswer::Leader(_) => Err(mismatched()),
            }
        })
    }
}

/// Concurrent reads share a question.
async fn read_index(link: Arc<Link>, deadline: Instant) -> Result<Index, NoAnswer> {
    let questions = link.questions.clone();
    let ask = move |latest| {
        let answer = questions.ask(PeerQuestion::Leader(Question::ReadIndex), latest);
        async move {
            match leaders_answer(answer.await?)? {
                Answer::ReadIndex(index) => Ok(index),
                _ => Err(mismatched()),
            }
        }
    };
    link.reads.wait(deadline, ask).await
}

fn leaders_answer(answer: PeerAnswer) -> Result<Answer, NoAnswer> {
    match answer {
        PeerAnswer::Leader(answer) => Ok(answer),
        PeerAnswer::Status(_) => Err(mismatched()),
    }
}

fn mismatched() -> NoAnswer {
    NoAnswer::Lost("it answered another question".into())
}

fn unknown(node: NodeId) -> NoAnswer {
    NoAnswer::NotSent(format!("node {node} is not among the members that this node knows"))
}
