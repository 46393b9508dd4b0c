//! The append stream, at both ends.
//!
//! Both ends send `hello` first, and nothing else before the other's was accepted. A message is encoded when
//! the connection has room for it, so that messages wait in the [lane](crate::peers::lane), where heartbeats
//! overtake.

use crate::peers::callers::{Caller, RunsTwice};
use crate::peers::identity::Acquaintance;
use crate::peers::lane::LaneReceiver;
use crate::peers::link::{InboundOpen, Link};
use crate::peers::links::Links;
use crate::peers::refusal::{PeerRefusal, RefusalKind, no_such_member};
use crate::peers::stranger::Stranger;
use crate::peers::wire::raft as wire;
use crate::proto::raft as pb;
use futures_util::Stream;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tonic::{Status, Streaming};

/// The messages that we send on a stream that we opened.
pub struct Requests {
    hello: Option<pb::Sender>,
    /// Resolves once the peer's hello was accepted.
    accepted: Option<oneshot::Receiver<()>>,
    lane: LaneReceiver,
}

impl Requests {
    /// `hello`, then, once `accepted` resolves, what the lane holds.
    pub fn new(hello: pb::Sender, accepted: oneshot::Receiver<()>, lane: LaneReceiver) -> Self {
        Self { hello: Some(hello), accepted: Some(accepted), lane }
    }
}

impl Stream for Requests {
    type Item = pb::AppendEntriesRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        use pb::append_entries_request::Message;
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(pb::AppendEntriesRequest { message: Some(Message::Hello(hello)) }));
        }
        if let Some(accepted) = &mut self.accepted {
            if ready!(Pin::new(accepted).poll(context)).is_err() {
                return Poll::Ready(None);
            }
            self.accepted = None;
        }
        while let Some(message) = ready!(self.lane.poll_next(context)) {
            if let Some(request) = wire::append_request(message) {
                return Poll::Ready(Some(request));
            }
        }
        Poll::Ready(None)
    }
}

/// Our answers on a stream that a peer opened.
pub struct Replies {
    hello: Option<pb::Sender>,
    lane: LaneReceiver,
    /// Resolves when the reading of the stream ended: with a status, if the peer broke a rule.
    end: oneshot::Receiver<Status>,
    ended: bool,
}

impl Stream for Replies {
    type Item = Result<pb::AppendEntriesResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        use pb::append_entries_response::Message;
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(Ok(pb::AppendEntriesResponse { message: Some(Message::Hello(hello)) })));
        }
        if let Poll::Ready(end) = Pin::new(&mut self.end).poll(context) {
            self.ended = true;
            return Poll::Ready(end.ok().map(Err));
        }
        while let Some(message) = ready!(self.lane.poll_next(context)) {
            if let Some(response) = wire::append_response(message) {
                return Poll::Ready(Some(Ok(response)));
            }
        }
        // Replaced by a newer stream; `end` follows.
        Poll::Pending
    }
}

/// Accepts a stream that a peer opened: checks its hello, then reads it on a separate task and answers with
/// our core's messages to the peer.
pub async fn serve(
    links: &Links,
    stranger: &Stranger,
    mut requests: Streaming<pb::AppendEntriesRequest>,
) -> Result<Replies, Status> {
    links.events()?;
    let first = tokio::time::timeout(links.settings().handshake_timeout, requests.message());
    let first = first.await.map_err(|_| Status::deadline_exceeded("no hello arrived in time"))??;
    let peer = stranger.admit(links, hello(first)).await?;
    let Some(link) = links.get(peer.node) else {
        return Err(no_such_member().into());
    };
    let from = place(&peer, stranger.address());
    let InboundOpen { number, lane, replaced } = link
        .open_inbound(Caller { process: peer.process, from: from.clone() })
        .map_err(|duplicate| refuse_twin(&link, &from, &duplicate))?;
    link.heard_from(&peer);
    link.opened();
    let (end, ended) = oneshot::channel();
    tokio::spawn(read(links.clone(), link.clone(), number, requests, replaced, end));
    Ok(Replies { hello: Some(links.admission().own().sender(peer.node)), lane, end: ended, ended: false })
}

/// Where the peer called from, and where it says that it listens.
fn place(peer: &Acquaintance, from: Option<SocketAddr>) -> String {
    let url = peer.peer_urls.first().map_or("no URL", String::as_str);
    match from {
        Some(from) => format!("{url} (from {})", from.ip()),
        None => url.to_owned(),
    }
}

fn refuse_twin(link: &Link, from: &str, RunsTwice { other, is_news }: &RunsTwice) -> PeerRefusal {
    let text = format!(
        "{:?} runs twice, at {from} and at {other}, on copies of one data directory. Stop one of the two: together they \
         can vote twice and lose acknowledged writes",
        link.name
    );
    if *is_news {
        tracing::warn!(peer = link.name, "{text}");
    }
    PeerRefusal::new(RefusalKind::MemberTwice, text)
}

fn hello(first: Option<pb::AppendEntriesRequest>) -> Option<pb::Sender> {
    match first?.message? {
        pb::append_entries_request::Message::Hello(sender) => Some(sender),
        _ => None,
    }
}

/// Delivers a peer's messages, until the stream ends.
async fn read(
    links: Links,
    link: Arc<Link>,
    number: u64,
    mut requests: Streaming<pb::AppendEntriesRequest>,
    replaced: oneshot::Receiver<()>,
    end: oneshot::Sender<Status>,
) {
    let reading = async {
        loop {
            let status = match requests.message().await {
                Ok(Some(request)) => match deliver(&links, &link, request) {
                    Ok(()) => continue,
                    Err(status) => status,
                },
                Ok(None) => return None,
                Err(status) => status,
            };
            return Some(status);
        }
    };
    let status = tokio::select! {
        status = reading => status,
        _ = replaced => None,
        () = link.removed() => Some(no_such_member().into()),
        () = links.stopped() => Some(PeerRefusal::new(RefusalKind::NotReady, "this node is stopping".into()).into()),
    };
    if let Some(status) = &status {
        let (peer, code) = (&link.name, status.code());
        tracing::debug!(peer, ?code, "the append stream from the peer broke: {}", status.message());
    }
    if link.close_inbound(number) {
        links.report_loss(&link);
    }
    if let Some(status) = status {
        // If the peer is gone, nobody listens.
        let _ = end.send(status);
    }
}

fn deliver(links: &Links, link: &Link, request: pb::AppendEntriesRequest) -> Result<(), Status> {
    let message = wire::checked_append_request(request).inspect_err(|error| {
        tracing::warn!(peer = link.name, "{error}; the stream is closed");
    })?;
    // A full queue drops it; Raft repairs loss.
    links.events()?.deliver(link.node(), message);
    Ok(())
}
