//! Whom a call goes to: a node that answers.
//!
//! A frozen process still accepts connections, and never says a word on them. What was sent to it may yet be done when
//! it goes on, so a write to it would be in doubt. A node that said nothing lately is therefore greeted first: asked for
//! its health, which any node answers at once. If it takes its time, the next one is greeted too, and the first to
//! answer gets the call.

use crate::address::NodeUrl;
use crate::client::call::{CallSpec, Client};
use crate::client::classify::classify;
use crate::client::error::Failure;
use crate::client::retry::{CallKind, Route};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio::time::Instant;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// How long a node has to answer a greeting before the next one is greeted too.
const HEDGE: Duration = Duration::from_millis(250);

/// How long a node counts as one that answers after it did. One that freezes later is found by keep-alives only.
pub(super) const FRESH: Duration = Duration::from_secs(5);

impl Client {
    /// Turns the route to a node that answers, beginning with the one it is at. If none does, notes why of each, and
    /// returns the failure of the one that the route is at.
    pub(super) async fn find(
        &self,
        call: CallSpec,
        route: &mut Route,
        budget: Duration,
    ) -> Result<(), Failure> {
        // A read may be sent twice: nobody else to ask, nothing to find out.
        let is_needless = call.kind == CallKind::Read && !route.has_others();
        if is_needless || self.nodes.is_heard(route.node(), FRESH) {
            return Ok(());
        }
        let patience = (self.nodes.connect_timeout() * 2).min(budget);
        let mut rest = route.in_order().into_iter();
        let mut greeted = FuturesUnordered::new();
        loop {
            let next = rest.next();
            let is_last = next.is_none();
            greeted.extend(next.map(|node| self.greet(node, patience)));
            let answer = tokio::select! {
                biased;
                answer = greeted.next() => answer,
                () = tokio::time::sleep(HEDGE), if !is_last => continue,
            };
            match answer {
                Some((node, Ok(()))) => {
                    self.nodes.heard(&node);
                    route.turn_to(node);
                    return Ok(());
                }
                Some((node, Err(failure))) => route.note_of(node, failure),
                None => return Err(route.failure().expect("each node has been noted, the first one too")),
            }
        }
    }

    async fn greet(&self, node: NodeUrl, patience: Duration) -> (NodeUrl, Result<(), Failure>) {
        let channel = match self.nodes.channel(&node) {
            Ok(channel) => channel,
            Err(failure) => return (node, Err(failure)),
        };
        let started = Instant::now();
        let mut health = HealthClient::new(channel);
        let check = health.check(HealthCheckRequest::default());
        let result = match tokio::time::timeout(patience, check).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => match classify(&status, started.elapsed()) {
                // A refusal is an answer too.
                Failure::Refused(_) | Failure::Timeout { .. } => Ok(()),
                failure => Err(failure.of_greeting()),
            },
            Err(_) => Err(Failure::Silent { after: started.elapsed() }),
        };
        (node, result)
    }
}
