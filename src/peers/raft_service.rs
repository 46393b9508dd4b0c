//! The service for peers. The sender and the form of each call are checked before it reaches the replica.

use crate::peers::append_stream::{self, Replies};
use crate::peers::caller::Caller;
use crate::peers::forward_service::{self, Answers};
use crate::peers::links::Links;
use crate::peers::refusal::{PeerRefusal, no_such_member};
use crate::peers::wire::raft as wire;
use crate::peers::{snapshot_receiver, votes};
use crate::proto::raft as pb;
use crate::proto::raft::raft_service_server;
use crate::raft::Message;
use crate::types::NodeId;
use tonic::{Request, Response, Status, Streaming};

/// The server of `kontiki.raft.v1.RaftService`; made by [`Peers::routes`](crate::peers::Peers::routes).
pub struct RaftService {
    links: Links,
}

impl RaftService {
    pub(in crate::peers) fn new(links: Links) -> Self {
        Self { links }
    }

    /// Checks the caller, and refuses while there is no replica.
    async fn admit(&self, caller: &Caller, sender: Option<pb::Sender>) -> Result<NodeId, PeerRefusal> {
        let peer = caller.admit(&self.links, sender).await?;
        self.links.events()?;
        Ok(peer.node)
    }
}

#[tonic::async_trait]
impl raft_service_server::RaftService for RaftService {
    async fn introduce(
        &self,
        request: Request<pb::IntroduceRequest>,
    ) -> Result<Response<pb::IntroduceResponse>, Status> {
        // Answered before there is a replica: new nodes wait for each other here.
        let caller = Caller::of(&request);
        let sender = request.into_inner().sender;
        let peer = caller.admit(&self.links, sender).await.inspect_err(log_refusal)?;
        if let Some(link) = self.links.get(peer.node) {
            link.heard_from(&peer);
        }
        let sender = Some(self.links.admission().own().sender(peer.node));
        Ok(Response::new(pb::IntroduceResponse { sender }))
    }

    async fn request_vote(
        &self,
        request: Request<pb::RequestVoteRequest>,
    ) -> Result<Response<pb::RequestVoteResponse>, Status> {
        let caller = Caller::of(&request);
        let mut request = request.into_inner();
        let peer = self.admit(&caller, request.sender.take()).await?;
        let question = wire::checked_vote_request(&request)?;
        let link = self.links.get(peer).ok_or_else(no_such_member)?;
        let vote = votes::answer(&self.links, &link, question).await?;
        Ok(Response::new(wire::vote_response(vote)))
    }

    type AppendEntriesStream = Replies;

    async fn append_entries(
        &self,
        request: Request<Streaming<pb::AppendEntriesRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let caller = Caller::of(&request);
        Ok(Response::new(append_stream::serve(&self.links, &caller, request.into_inner()).await?))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::InstallSnapshotRequest>>,
    ) -> Result<Response<pb::InstallSnapshotResponse>, Status> {
        let caller = Caller::of(&request);
        Ok(Response::new(snapshot_receiver::serve(&self.links, &caller, request.into_inner()).await?))
    }

    async fn timeout_now(
        &self,
        request: Request<pb::TimeoutNowRequest>,
    ) -> Result<Response<pb::TimeoutNowResponse>, Status> {
        let caller = Caller::of(&request);
        let mut request = request.into_inner();
        let peer = self.admit(&caller, request.sender.take()).await?;
        let term = wire::checked_timeout_now(&request)?;
        self.links.events()?.deliver(peer, Message::TimeoutNow { term });
        Ok(Response::new(pb::TimeoutNowResponse {}))
    }

    type ForwardStream = Answers;

    async fn forward(
        &self,
        request: Request<Streaming<pb::ForwardRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let caller = Caller::of(&request);
        Ok(Response::new(forward_service::serve(&self.links, &caller, request.into_inner()).await?))
    }
}

fn log_refusal(refusal: &PeerRefusal) {
    tracing::debug!(reason = refusal.kind.name(), "refused a peer's introduction: {}", refusal.text);
}
