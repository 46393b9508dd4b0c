//! Keeps a stream of questions to a peer open, from the first question on.
//!
//! It has a separate connection, so that nothing that happens on it affects votes and heartbeats. There is no
//! pause before another attempt, since each is made for a waiting question, and callers pause before asking
//! again.

use crate::api::remote::NoAnswer;
use crate::peers::connection;
use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::questions::{Outgoing, Sent};
use crate::peers::refusal::PeerRefusal;
use crate::peers::wire::forward;
use crate::proto::raft as pb;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::{Status, Streaming};

/// Connects whenever there is a question, until the node stops or the peer is no longer a member.
pub async fn run(links: Links, link: Arc<Link>) {
    let connecting = async {
        loop {
            link.questions.wanted().await;
            if let Err(why) = converse(&links, &link).await {
                link.questions.refuse_waiting(&why);
            }
        }
    };
    tokio::select! {
        () = links.stopped() => link.questions.refuse_waiting("this node is stopping"),
        () = link.removed() => link.questions.refuse_waiting("it is no longer a member"),
        () = connecting => {}
    }
}

/// Holds one stream until it breaks. An error says why it could not be opened: then no question was sent.
async fn converse(links: &Links, link: &Link) -> Result<(), String> {
    let sent = Sent::default();
    let _lost = LoseWhenDropped(sent.clone());
    let (accept, accepted) = oneshot::channel();
    let hello = links.admission().own().sender(link.node());
    let outgoing = Outgoing::new(hello, accepted, link.questions.clone(), sent.clone());
    let mut answers = open(links, link, outgoing).await?;
    check_hello(links, link, &mut answers).await?;
    // A receiver that is gone shows at once in the answers.
    let _ = accept.send(());
    tracing::debug!(peer = link.name, "connected for questions");
    let why = deliver(&sent, &mut answers).await;
    tracing::debug!(peer = link.name, "the stream of questions broke: {why}");
    sent.lose(&why);
    Ok(())
}

/// A stopping node does not learn what became of the questions it has sent.
struct LoseWhenDropped(Sent);

impl Drop for LoseWhenDropped {
    fn drop(&mut self) {
        self.0.lose("this node is stopping");
    }
}

async fn open(
    links: &Links,
    link: &Link,
    outgoing: Outgoing,
) -> Result<Streaming<pb::ForwardResponse>, String> {
    let settings = links.settings();
    let route = link.routes.current().ok_or("its address is not known")?;
    let channel = connection::connect(&route.endpoint, settings).await?;
    let mut client = connection::client(channel, settings);
    match tokio::time::timeout(settings.handshake_timeout, client.forward(outgoing)).await {
        Ok(Ok(answers)) => Ok(answers.into_inner()),
        Ok(Err(status)) => Err(explain(&status)),
        Err(_) => Err(silent(settings.handshake_timeout)),
    }
}

async fn check_hello(
    links: &Links,
    link: &Link,
    answers: &mut Streaming<pb::ForwardResponse>,
) -> Result<(), String> {
    let limit = links.settings().handshake_timeout;
    let first = tokio::time::timeout(limit, answers.message()).await.map_err(|_| silent(limit))?;
    let sender = match first.map_err(|status| explain(&status))?.and_then(|first| first.message) {
        Some(pb::forward_response::Message::Hello(sender)) => Some(sender),
        _ => None,
    };
    let peer = links.admission().admit_as(link.node(), sender).await;
    let peer = peer.map_err(|refusal| format!("it is not the node that was meant: {refusal}"))?;
    link.heard_from(&peer);
    Ok(())
}

/// Delivers answers until the stream breaks, and says why it did.
async fn deliver(sent: &Sent, answers: &mut Streaming<pb::ForwardResponse>) -> String {
    loop {
        let answer = match answers.message().await {
            Ok(Some(pb::ForwardResponse {
                message: Some(pb::forward_response::Message::Answer(answer)),
            })) => answer,
            Ok(Some(_)) => return "what the peer said is not an answer".into(),
            Ok(None) => return "the peer ended the stream".into(),
            Err(status) => return explain(&status),
        };
        match forward::checked_answer(answer) {
            Ok((id, answer)) => sent.answered(id, answer.map_err(NoAnswer::Refused)),
            Err(malformed) => return malformed.to_string(),
        }
    }
}

fn explain(status: &Status) -> String {
    match PeerRefusal::of(status) {
        Some(refusal) => format!("it refuses this node: {refusal}"),
        None => connection::describe_status(status),
    }
}

fn silent(limit: Duration) -> String {
    format!("connected, but no answer within {limit:?}")
}
