//! The introduction of a new data directory.
//!
//! A node that lost its disk would, as the same member, vote twice in a term
//! and deny entries that it had acknowledged. The others remember its old
//! directory; so a new directory takes part only after a majority of the
//! others has accepted it. The lost one was accepted by a majority of the others
//! too, before it took part in anything, and two such majorities overlap.

use crate::peers::calls::{self, IntroduceFailure};
use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::patience::{Backoff, LogThrottle};
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::raft::majority;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Why this node may not take part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntroduceError {
    /// Another member refuses it for good.
    #[error("{peer} refuses this node: {refusal}")]
    Refused { peer: String, refusal: PeerRefusal },
    #[error("the node is stopping")]
    Stopping,
}

/// Introduces this node to the others, and waits until a majority of them
/// has accepted it, however long that takes. Logs whom it waits for.
pub async fn run(links: &Links) -> Result<(), IntroduceError> {
    tokio::select! {
        outcome = introduce_to_majority(links) => outcome,
        () = links.stopped() => Err(IntroduceError::Stopping),
    }
}

async fn introduce_to_majority(links: &Links) -> Result<(), IntroduceError> {
    let others = links.all().len();
    let mut missing = if others == 0 { 0 } else { majority(others) };
    let (report, mut reports) = mpsc::channel(others.max(1));
    // Dropped, and so ended, with this future.
    let mut tasks = JoinSet::new();
    for link in links.all() {
        tasks.spawn(introduce_to(links.clone(), link, report.clone()));
    }
    let mut log_throttle = LogThrottle::new(links.settings().log_interval);
    let mut troubles = BTreeMap::new();
    while missing > 0 {
        let Some(Attempt { link, url, outcome }) = reports.recv().await else {
            return Err(IntroduceError::Stopping);
        };
        let (node, name) = (link.node(), &link.name);
        match outcome {
            Ok(()) => {
                missing -= 1;
                troubles.remove(&node);
                tracing::info!(peer = name, missing, "introduced to {name}");
            }
            Err(IntroduceFailure::Refused(refusal))
                if matches!(
                    refusal.kind,
                    RefusalKind::MemberWiped | RefusalKind::WrongCluster | RefusalKind::VersionTooOld
                ) =>
            {
                return Err(IntroduceError::Refused { peer: name.clone(), refusal });
            }
            Err(trouble) => {
                troubles.insert(node, format!("{name} ({url}): {trouble}"));
                let troubles: Vec<&str> = troubles.values().map(String::as_str).collect();
                let line =
                    format!("waiting for {missing} of {others} other members: {}", troubles.join("; "));
                if log_throttle.is_due(&line) {
                    tracing::info!("{line}");
                }
                links.waiting_for().send_replace(line);
            }
        }
    }
    Ok(())
}

/// One attempt to introduce this node.
struct Attempt {
    link: Arc<Link>,
    url: String,
    outcome: Result<(), IntroduceFailure>,
}

/// Reports each attempt, until one succeeds.
async fn introduce_to(links: Links, link: Arc<Link>, report: mpsc::Sender<Attempt>) {
    let settings = links.settings();
    let mut backoff = Backoff::new(settings.backoff_min, settings.backoff_max);
    // The settings of a new node have a URL for each of the others.
    while let Some(route) = link.routes.current() {
        let outcome = calls::introduce(&links, &link, route.calls.clone()).await;
        let (done, refused) = match &outcome {
            Ok(()) => (true, false),
            Err(IntroduceFailure::Unreachable(_)) => (false, false),
            Err(IntroduceFailure::Refused(refusal)) => (false, refusal.kind != RefusalKind::NotReady),
            Err(IntroduceFailure::Unacceptable(_)) => (false, true),
        };
        let attempt = Attempt { link: link.clone(), url: route.url.clone(), outcome };
        if report.send(attempt).await.is_err() || done {
            return;
        }
        link.routes.failed(&route);
        let pause = if refused { settings.refused_pause } else { backoff.pause() };
        tokio::time::sleep(pause).await;
    }
}
