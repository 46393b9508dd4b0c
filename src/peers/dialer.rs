//! Keeps an append stream to a peer open.

use crate::peers::append_stream::Requests;
use crate::peers::connection;
use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::patience::{Backoff, LogThrottle};
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::peers::wire::raft as wire;
use crate::proto::raft as pb;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::{Status, Streaming};

/// Dials, and dials again, until the node stops.
pub async fn run(links: Links, link: Arc<Link>) {
    let mut dialer = Dialer {
        backoff: Backoff::new(links.settings().backoff_min, links.settings().backoff_max),
        log_throttle: LogThrottle::new(links.settings().log_interval),
        links: links.clone(),
        link,
    };
    tokio::select! {
        () = links.stopped() => {}
        () = dialer.keep_open() => {}
    }
    // Ends the stream in an orderly way: the peer sees the end at once.
    dialer.link.close_requests();
}

/// Why there is no stream any more, or still none.
enum Ending {
    /// The peer could not be reached.
    Unreachable(String),
    /// One of the two does not listen to the other.
    Refused(PeerRefusal),
}

struct Dialer {
    links: Links,
    link: Arc<Link>,
    backoff: Backoff,
    log_throttle: LogThrottle,
}

impl Dialer {
    async fn keep_open(&mut self) {
        loop {
            let ending = self.hold_stream().await;
            self.link.close_requests();
            let pause = self.pause_after(ending);
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens a stream and delivers what comes back, until it ends.
    async fn hold_stream(&mut self) -> Ending {
        let (accept, accepted) = oneshot::channel();
        let mut replies = match self.open(accepted).await {
            Ok(replies) => replies,
            Err(ending) => return ending,
        };
        if let Err(ending) = self.check_hello(&mut replies).await {
            return ending;
        }
        // A receiver that is gone shows at once in the replies.
        let _ = accept.send(());
        self.link.opened();
        self.backoff.reset();
        self.log_throttle.reset();
        tracing::info!(peer = self.link.address.name, url = self.link.address.peer_url, "connected");
        let ending = self.deliver_replies(&mut replies).await;
        self.links.report_loss(&self.link);
        ending
    }

    async fn open(
        &self,
        accepted: oneshot::Receiver<()>,
    ) -> Result<Streaming<pb::AppendEntriesResponse>, Ending> {
        let settings = self.links.settings();
        let hello = self.links.admission().own().sender(self.link.node());
        let requests = Requests::new(hello, accepted, self.link.open_requests());
        // The timeout of the endpoint does not count the resolving of the name.
        let channel = tokio::time::timeout(settings.connect_timeout, self.link.endpoint.connect())
            .await
            .map_err(|_| Ending::Unreachable(format!("no connection within {:?}", settings.connect_timeout)))?
            .map_err(|error| Ending::Unreachable(connection::describe(&error)))?;
        let mut client = connection::client(channel, settings);
        match tokio::time::timeout(settings.handshake_timeout, client.append_entries(requests)).await {
            Ok(Ok(replies)) => Ok(replies.into_inner()),
            Ok(Err(status)) => Err(ending_of(&status)),
            Err(_) => Err(silent(settings.handshake_timeout)),
        }
    }

    async fn check_hello(&self, replies: &mut Streaming<pb::AppendEntriesResponse>) -> Result<(), Ending> {
        let limit = self.links.settings().handshake_timeout;
        let first = tokio::time::timeout(limit, replies.message()).await.map_err(|_| silent(limit))?;
        let sender = match first.map_err(|status| ending_of(&status))?.and_then(|first| first.message) {
            Some(pb::append_entries_response::Message::Hello(sender)) => Some(sender),
            _ => None,
        };
        let peer = self.links.admission().admit_as(self.link.node(), sender).await;
        self.link.met(&peer.map_err(Ending::Refused)?);
        Ok(())
    }

    async fn deliver_replies(&self, replies: &mut Streaming<pb::AppendEntriesResponse>) -> Ending {
        loop {
            let reply = match replies.message().await {
                Ok(Some(reply)) => wire::checked_append_response(reply),
                Ok(None) => return Ending::Unreachable("the peer ended the stream".into()),
                Err(status) => return ending_of(&status),
            };
            match (reply, self.links.events()) {
                // A full queue drops it; Raft repairs loss.
                (Ok(message), Ok(events)) => {
                    events.deliver(self.link.node(), message);
                }
                (Err(malformed), _) => return Ending::Unreachable(malformed.to_string()),
                (_, Err(refusal)) => return Ending::Refused(refusal),
            }
        }
    }

    /// How long to wait before the next attempt; says why in the log.
    fn pause_after(&mut self, ending: Ending) -> Duration {
        let (peer, url) = (&self.link.address.name, &self.link.address.peer_url);
        match ending {
            Ending::Unreachable(why) => {
                if self.log_throttle.is_due(&why) {
                    tracing::info!(peer, url, "waiting for {peer} ({url}): {why}");
                }
                self.backoff.pause()
            }
            Ending::Refused(refusal) => {
                if self.log_throttle.is_due(&refusal.text) {
                    tracing::warn!(peer, url, reason = refusal.kind.name(), "refused: {}", refusal.text);
                }
                self.links.settings().refused_pause
            }
        }
    }
}

fn ending_of(status: &Status) -> Ending {
    match PeerRefusal::of(status) {
        Some(refusal) if refusal.kind != RefusalKind::NotReady => Ending::Refused(refusal),
        Some(refusal) => Ending::Unreachable(refusal.text),
        None => Ending::Unreachable(connection::describe_status(status)),
    }
}

fn silent(limit: Duration) -> Ending {
    Ending::Unreachable(format!("connected, but no answer within {limit:?}"))
}
