//! Writes on any node: executed here by the leader, forwarded there by others.
//!
//! A follower sends the very same message to the leader's peer listener, which
//! serves the same services, and passes the answer on as it is. One hop: a
//! forwarded request is executed or refused. What is refused with certainty is
//! tried again while there is hope (see [`Patience`]); what may have been
//! applied never is.

use crate::grpc::context::{Call, Context};
use crate::grpc::error::{Fault, outcome_of, reason_of};
use crate::grpc::leader::Patience;
use crate::peers::connection::describe_status;
use crate::proto::v1;
use crate::reason::{Outcome, Reason};
use crate::types::NodeId;
use http::uri::PathAndQuery;
use std::error::Error;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// The largest answer that is taken from another node.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A unary request that can be sent on to another node.
pub trait Forwardable: prost::Message + Clone + 'static {
    /// Its answer.
    type Answer: prost::Message + Default + 'static;
    /// Where it goes.
    const PATH: &'static str;
}

macro_rules! forwardable {
    ($($request:ident -> $answer:ident at $path:literal;)+) => {$(
        impl Forwardable for v1::$request {
            type Answer = v1::$answer;
            const PATH: &'static str = $path;
        }
    )+};
}

forwardable! {
    PutRequest -> PutResponse at "/kontiki.v1.KvService/Put";
    DeleteRequest -> DeleteResponse at "/kontiki.v1.KvService/Delete";
    TxnRequest -> TxnResponse at "/kontiki.v1.KvService/Txn";
    CompactRequest -> CompactResponse at "/kontiki.v1.KvService/Compact";
    TransferLeadershipRequest -> TransferLeadershipResponse at "/kontiki.v1.ClusterService/TransferLeadership";
    StatusRequest -> StatusResponse at "/kontiki.v1.ClusterService/Status";
}

/// Where a request was executed, with its result.
#[derive(Debug)]
pub enum Done<T, A> {
    /// On this node.
    Here(T),
    /// On the leader, which answered this.
    There(A),
}

/// Has the leader execute a request: by `here`, which may be called again after
/// a refusal that is certain, or by sending `message` to it.
pub async fn on_leader<M, T, W>(
    context: &Context,
    call: &Call,
    message: &M,
    here: impl Fn() -> W,
) -> Result<Done<T, M::Answer>, Status>
where
    M: Forwardable,
    W: Future<Output = Result<T, Fault>>,
{
    let patience = Patience::of(context, call);
    loop {
        let leader = patience.leader(context).await.map_err(Fault::not_applied)?;
        let refusal: Status = if leader == context.node() {
            match here().await {
                Ok(done) => return Ok(Done::Here(done)),
                Err(fault) => with_leader(context, fault).into(),
            }
        } else if call.forwarded {
            return Err(not_the_leader(context, leader).into());
        } else {
            match send_on(context, call, leader, message).await {
                Ok(answer) => return Ok(Done::There(answer)),
                Err(status) => status,
            }
        };
        if !may_be_tried_again(&refusal) || !patience.pause(context, leader).await {
            return Err(refusal);
        }
    }
}

/// Only what certainly was not applied, and only where the reason passes.
fn may_be_tried_again(refusal: &Status) -> bool {
    outcome_of(refusal) == Some(Outcome::NotApplied) && reason_of(refusal).is_some_and(Reason::is_passing)
}

fn not_the_leader(context: &Context, leader: NodeId) -> Fault {
    let message = format!(
        "{} does not lead, and a request is forwarded only once; ask the leader",
        context.answerer.name
    );
    Fault::new(Reason::NotLeader, message)
        .not_applied()
        .leader(context.hint(leader))
        .retry_after(Duration::ZERO)
}

/// Adds where the leader is by now, and when to try again, to a refusal that passes.
fn with_leader(context: &Context, fault: Fault) -> Fault {
    if !fault.reason().is_passing() || fault.outcome() == Some(Outcome::Unknown) {
        return fault;
    }
    match context.handle.status().leader {
        Some(leader) => fault.leader(context.hint(leader)).retry_after(context.timing.heartbeat),
        None => fault.retry_after(context.timing.election_max),
    }
}

async fn send_on<M: Forwardable>(
    context: &Context,
    call: &Call,
    leader: NodeId,
    message: &M,
) -> Result<M::Answer, Status> {
    let Some(channel) = context.peers.channel(leader) else {
        let message = format!("the leader, node {leader}, is not among the members that this node knows");
        return Err(Fault::new(Reason::LeaderUnreachable, message).not_applied().into());
    };
    let mut request = context.forwarded(message.clone());
    request.set_timeout(call.deadline.left());
    match call.deadline.bound_loosely(send(channel, request)).await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(status)) => Err(explained(context, call, leader, status)),
        None => Err(deadline_there().into()),
    }
}

/// Sends one request, whatever becomes of it.
pub async fn send<M: Forwardable>(channel: Channel, request: Request<M>) -> Result<M::Answer, Status> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::from_static(M::PATH);
    let answer = grpc.unary(request, path, ProstCodec::<M, M::Answer>::default()).await?;
    Ok(answer.into_inner())
}

fn deadline_there() -> Fault {
    Fault::deadline("the leader was asked to do it").unknown()
}

/// What the leader said passes unchanged. What the connection says gets an
/// outcome: certain only if there was no connection to begin with.
fn explained(context: &Context, call: &Call, leader: NodeId, status: Status) -> Status {
    if reason_of(&status).is_some() {
        return status;
    }
    if call.deadline.has_passed() {
        return deadline_there().into();
    }
    let hint = context.hint(leader);
    let name = hint.name.clone().unwrap_or_else(|| format!("node {leader}"));
    if never_connected(&status) {
        let message = format!("the leader, {name}, cannot be reached: {}", describe_status(&status));
        return Fault::new(Reason::LeaderUnreachable, message)
            .not_applied()
            .leader(hint)
            .retry_after(context.timing.election_max)
            .into();
    }
    let why = describe_status(&status);
    let message = format!("the connection to the leader, {name}, broke while it had the request: {why}");
    Fault::new(Reason::LeaderUnreachable, message).unknown().leader(hint).into()
}

/// Whether the request was never sent, for want of a connection.
fn never_connected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::transport::Endpoint;

    fn put() -> Request<v1::PutRequest> {
        Request::new(v1::PutRequest::default())
    }

    /// The difference decides whether a write may be sent again.
    #[tokio::test]
    async fn a_refused_connection_is_told_from_a_broken_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let channel = || Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();

        let broken = tokio::spawn(send(channel(), put()));
        let (connection, _) = listener.accept().await.unwrap();
        connection.readable().await.unwrap();
        drop(connection);
        drop(listener);
        assert!(!never_connected(&broken.await.unwrap().unwrap_err()));

        let refused = send(channel(), put()).await.unwrap_err();
        assert!(never_connected(&refused), "{refused:?}");
    }

    #[test]
    fn only_certain_and_passing_refusals_are_tried_again() {
        let again = |fault: Fault| may_be_tried_again(&fault.into());
        assert!(again(Fault::new(Reason::NotLeader, "").not_applied()));
        assert!(again(Fault::new(Reason::Superseded, "").not_applied()));
        assert!(!again(Fault::new(Reason::LeaderUnreachable, "").unknown()));
        assert!(!again(Fault::new(Reason::LeadershipLost, "").unknown()));
        assert!(!again(Fault::new(Reason::Overloaded, "").not_applied()));
        assert!(!may_be_tried_again(&Status::unavailable("by whomever")));
    }
}
