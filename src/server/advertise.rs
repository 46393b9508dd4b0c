//! Puts this node's own URLs into the log.
//!
//! The founding state has only the members' names, since each node makes it by itself and may have been told other URLs
//! than its peers. Each node then advertises its own URLs, and again whenever the log differs from its flags. So the
//! others find a node that moved, and clients see where it is.

use crate::api::call::Call;
use crate::api::context::Api;
use crate::api::deadline::Deadline;
use crate::member::Member;
use crate::peers::patience::{Backoff, LogThrottle};
use crate::raft::Members;
use crate::reason::Reason;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pauses between attempts: several nodes may advertise at once, and the log takes one change at a time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// So many failures that pass are usual, while a cluster elects a leader or others advertise.
const FAILURES_AS_A_RULE: u32 = 5;
/// How often the same failure is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Advertises this node's URLs whenever the members in force have others, until `stopping`.
pub(super) async fn keep(api: Arc<Api>, own: Member, stopping: impl Future<Output = ()>) {
    let members = api.router.handle.watch_members();
    tokio::select! {
        () = stopping => {}
        () = advertise(&api, &own, members) => {}
    }
}

async fn advertise(api: &Api, own: &Member, mut members: watch::Receiver<Arc<Members>>) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut log_throttle = LogThrottle::new(LOG_INTERVAL);
    let mut failures = 0;
    let differs = |members: &Arc<Members>| members.get(own.id).is_some_and(|known| !known.has_urls_of(own));
    loop {
        if members.wait_for(differs).await.is_err() {
            return; // The replica has ended.
        }
        let call = Call::of_client(Deadline::after(PATIENCE));
        if let Err(fault) = api.router.advertise(&call, own.clone()).await {
            let passes = fault.reason().is_passing() || fault.reason() == Reason::MembersBusy;
            let line = fault.to_string();
            failures += 1;
            if (!passes || failures > FAILURES_AS_A_RULE) && log_throttle.is_due(&line) {
                tracing::warn!("this node's URLs could not be advertised: {line}");
            }
        }
        // The entry takes a moment to arrive here.
        tokio::time::sleep(backoff.pause()).await;
        if !differs(&members.borrow()) {
            tracing::info!(
                peers = own.peer_urls.join(","),
                clients = own.client_urls.join(","),
                "advertised"
            );
            backoff.reset();
            log_throttle.reset();
            failures = 0;
        }
    }
}
