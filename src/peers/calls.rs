//! The unary calls to a peer, each on its own task: elections and transfers are rare.

use crate::peers::connection;
use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::refusal::PeerRefusal;
use crate::peers::wire::raft as wire;
use crate::proto::raft as pb;
use crate::proto::raft::raft_service_client::RaftServiceClient;
use crate::raft::{Message, RequestVote};
use crate::types::Term;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Makes a call in the background. False: enough are under way to this peer,
/// and this one is dropped.
pub fn start(
    runtime: &tokio::runtime::Handle,
    link: &Link,
    call: impl Future<Output = Result<(), Status>> + Send + 'static,
) -> bool {
    let Ok(permit) = link.outgoing.clone().try_acquire_owned() else {
        return false;
    };
    let name = link.name.clone();
    runtime.spawn(async move {
        if let Err(status) = call.await {
            tracing::debug!(peer = name, code = ?status.code(), "call failed: {}", status.message());
        }
        drop(permit);
    });
    true
}

/// Asks for a vote, and delivers the answer.
pub async fn ask_vote(links: Links, link: Arc<Link>, request: RequestVote) -> Result<(), Status> {
    let limit = links.settings().call_timeout;
    let answer = within(limit, async {
        let mut client = client(&links, &link).await?;
        let message = wire::vote_request(request, links.admission().own().sender(link.node()));
        client.request_vote(timed(message, limit)).await
    });
    let vote = wire::checked_vote_response(answer.await?.into_inner(), &request)?;
    links.events()?.deliver(link.node(), Message::Vote(vote));
    Ok(())
}

/// Tells the peer to stand for election.
pub async fn hand_over(links: Links, link: Arc<Link>, term: Term) -> Result<(), Status> {
    let limit = links.settings().call_timeout;
    within(limit, async {
        let mut client = client(&links, &link).await?;
        let sender = Some(links.admission().own().sender(link.node()));
        client.timeout_now(timed(pb::TimeoutNowRequest { sender, term: term.get() }, limit)).await
    })
    .await?;
    Ok(())
}

/// Compares identities over a channel, and learns where the peer finds the others.
pub async fn introduce(links: &Links, link: &Link, channel: Channel) -> Result<(), IntroduceFailure> {
    let limit = links.settings().handshake_timeout;
    let mut client = connection::client(channel, links.settings());
    let request = timed(links.admission().own().introduction(link.node()), limit);
    let answer =
        within(limit, client.introduce(request)).await.map_err(|status| match PeerRefusal::of(&status) {
            Some(refusal) => IntroduceFailure::Refused(refusal),
            None => IntroduceFailure::Unreachable(connection::describe_status(&status)),
        })?;
    let pb::IntroduceResponse { sender, members } = answer.into_inner();
    let peer = links.admission().admit_as(link.node(), sender).await;
    link.met(&peer.map_err(IntroduceFailure::Unacceptable)?);
    links.heard_of(wire::checked_whereabouts(members));
    Ok(())
}

/// Identities could not be compared, or do not match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntroduceFailure {
    #[error("{0}")]
    Unreachable(String),
    /// The peer refuses us.
    #[error("it refuses this node: {0}")]
    Refused(PeerRefusal),
    /// We refuse the peer.
    #[error("refused: {0}")]
    Unacceptable(PeerRefusal),
}

impl From<IntroduceFailure> for Status {
    fn from(failure: IntroduceFailure) -> Self {
        match failure {
            IntroduceFailure::Unreachable(why) => Status::unavailable(why),
            IntroduceFailure::Refused(refusal) | IntroduceFailure::Unacceptable(refusal) => refusal.into(),
        }
    }
}

/// A client of the peer, whose identity is checked first unless it was checked since the last loss.
async fn client(links: &Links, link: &Link) -> Result<RaftServiceClient<Channel>, Status> {
    let route = link.routes.current().ok_or_else(|| Status::unavailable("its address is not known"))?;
    if !link.is_acquainted() {
        introduce(links, link, route.calls.clone()).await?;
    }
    Ok(connection::client(route.calls.clone(), links.settings()))
}

/// A request that the server may abandon after `limit`.
fn timed<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// Bounds a call at our end, including name resolution and connecting.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no answer within {limit:?}"))))
}
