//! Answering a peer's request for a vote.
//!
//! The core answers with a separate message, once its vote is durable (or at once, if it refuses). The call
//! waits for the next one that matches. Two calls from the same peer may take the same answer: they ask the
//! same.

use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::raft::{Message, RequestVote, Vote};
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

/// Delivers the request and waits for the core's answer, for a bounded time.
pub async fn answer(links: &Links, link: &Link, request: RequestVote) -> Result<Vote, Status> {
    let events = links.events()?;
    let _permit = link
        .incoming
        .try_acquire()
        .map_err(|_| Status::resource_exhausted("too many vote requests of this node are waiting"))?;
    // Subscribe first: the core may answer before `deliver` returns.
    let mut votes = link.votes.subscribe();
    if !events.deliver(link.node(), Message::RequestVote(request)) {
        return Err(
            PeerRefusal::new(RefusalKind::NotReady, "too much is waiting for the replica".into()).into()
        );
    }
    let limit = links.settings().call_timeout;
    let fitting = async {
        loop {
            match votes.recv().await {
                Ok(vote) if fits(&vote, &request) => return Some(vote),
                // Older answers may have been pushed out by newer ones.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    };
    match tokio::time::timeout(limit, fitting).await {
        Ok(Some(vote)) => Ok(vote),
        _ => Err(Status::deadline_exceeded(format!("no vote was cast within {limit:?}"))),
    }
}

/// Whether the vote answers the question, and not an older one.
fn fits(vote: &Vote, request: &RequestVote) -> bool {
    let about_it = if vote.granted {
        vote.term == request.term
    } else {
        // A voter that refuses has entered the candidate's term, or is beyond it.
        // A pre-vote leaves it where it was.
        vote.pre || vote.term >= request.term
    };
    vote.pre == request.pre && about_it
}
