//! Keeps an append stream to a peer open.

use crate::peers::append_stream::Requests;
use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::patience::{Backoff, LogThrottle};
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::peers::routes::Route;
use crate::peers::wire::raft as wire;
use crate::peers::{calls, connection};
use crate::proto::raft as pb;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Status, Streaming};

/// Dials, and dials again, until the node stops or the peer is no longer a member.
pub async fn run(links: Links, link: Arc<Link>) {
    let mut dialer = Dialer {
        backoff: Backoff::new(links.settings().backoff_min, links.settings().backoff_max),
        log_throttles: BTreeMap::new(),
        asked: (0, None),
        links: links.clone(),
        link: link.clone(),
    };
    tokio::select! {
        () = links.stopped() => {}
        () = link.removed() => {}
        () = dialer.keep_open() => {}
    }
    // Ends the stream in an orderly way: the peer sees the end at once.
    link.close_requests();
}

/// Why a stream ended or could not be opened.
enum Ending {
    /// The peer could not be reached.
    Unreachable(String),
    /// One of the two refuses the other.
    Refused(PeerRefusal),
}

struct Dialer {
    links: Links,
    link: Arc<Link>,
    backoff: Backoff,
    /// By address; none while the stream is open.
    log_throttles: BTreeMap<String, LogThrottle>,
    /// How often another member was asked where the peer is, and when last.
    asked: (usize, Option<Instant>),
}

impl Dialer {
    async fn keep_open(&mut self) {
        loop {
            let pause = match self.link.routes.current() {
                Some(route) => self.hold_stream(&route).await,
                None => self.pause_after("", Ending::Unreachable("its address is not known".into()), true),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens a stream and delivers what comes back, until it ends. Answers how long to wait before the next attempt.
    async fn hold_stream(&mut self, route: &Arc<Route>) -> Duration {
        let opened = self.open(route).await;
        let (ending, all_tried) = match opened {
            Ok(mut replies) => {
                let _in_use = self.link.routes.hold(route);
                self.backoff.reset();
                self.log_throttles.clear();
                tracing::info!(peer = self.link.name, url = route.url, "connected");
                let ending = self.deliver_replies(&mut replies).await;
                self.links.report_loss(&self.link);
                (ending, true)
            }
            Err(ending) => (ending, self.link.routes.failed(route)),
        };
        if all_tried {
            self.ask_another();
        }
        self.link.close_requests();
        self.pause_after(&route.url, ending, all_tried)
    }

    /// The peer is at none of its addresses, and may have moved while this node was away: asks another member, each in
    /// its turn and not too often, where it finds the peer.
    fn ask_another(&mut self) {
        let (times, last) = self.asked;
        if last.is_some_and(|last| last.elapsed() < self.links.settings().refused_pause) {
            return;
        }
        let is_asked = |other: &Arc<Link>| other.node() != self.link.node() && other.is_acquainted();
        let others: Vec<Arc<Link>> = self.links.all().into_iter().filter(is_asked).collect();
        let Some(other) = others.get(times % others.len().max(1)).cloned() else { return };
        let Some(route) = other.routes.current() else { return };
        self.asked = (times.wrapping_add(1), Some(Instant::now()));
        let (links, asked) = (self.links.clone(), other.clone());
        let ask = async move { Ok(calls::introduce(&links, &asked, route.calls.clone()).await?) };
        // False: enough calls are under way to it; another attempt follows.
        calls::start(self.links.runtime(), &other, ask);
    }

    /// A stream to the peer, which was checked to be the one that is meant.
    async fn open(&self, route: &Route) -> Result<Streaming<pb::AppendEntriesResponse>, Ending> {
        let (accept, accepted) = oneshot::channel();
        let mut replies = self.call(route, accepted).await?;
        self.check_hello(&mut replies).await?;
        // A receiver that is gone shows at once in the replies.
        let _ = accept.send(());
        self.link.opened();
        Ok(replies)
    }

    async fn call(
        &self,
        route: &Route,
        accepted: oneshot::Receiver<()>,
    ) -> Result<Streaming<pb::AppendEntriesResponse>, Ending> {
        let settings = self.links.settings();
        let hello = self.links.admission().own().sender(self.link.node());
        let requests = Requests::new(hello, accepted, self.link.open_requests());
        let channel = connection::connect(&route.endpoint, settings).await.map_err(Ending::Unreachable)?;
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

    /// How long to wait before the next attempt, which is soon if there is another address; says why in the log.
    fn pause_after(&mut self, url: &str, ending: Ending, all_tried: bool) -> Duration {
        let settings = self.links.settings();
        let throttle = self.log_throttles.entry(url.to_owned());
        let throttle = throttle.or_insert_with(|| LogThrottle::new(settings.log_interval));
        let peer = &self.link.name;
        let pause = match ending {
            Ending::Unreachable(why) => {
                if throttle.is_due(&why) {
                    tracing::info!(peer, url, "not connected: {why}");
                }
                None
            }
            Ending::Refused(refusal) => {
                if throttle.is_due(&refusal.text) {
                    tracing::warn!(peer, url, reason = refusal.kind.name(), "refused: {}", refusal.text);
                }
                Some(settings.refused_pause)
            }
        };
        if !all_tried {
            return settings.backoff_min;
        }
        pause.unwrap_or_else(|| self.backoff.pause())
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
