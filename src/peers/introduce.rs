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
use crate::types::NodeId;
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
    /// Most of the members that it lists found, or founded, another cluster.
    #[error("most of the members in its --initial-cluster refuse this node: {0}")]
    Outvoted(String),
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
    let mut troubles: BTreeMap<NodeId, Trouble> = BTreeMap::new();
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
                if matches!(refusal.kind, RefusalKind::MemberWiped | RefusalKind::VersionTooOld) =>
            {
                return Err(IntroduceError::Refused { peer: name.clone(), refusal });
            }
            Err(trouble) => {
                troubles.insert(node, Trouble { peer: name.clone(), url, failure: trouble });
                if is_outvoted(&troubles, others + 1) {
                    return Err(IntroduceError::Outvoted(texts(&troubles)));
                }
                let line = format!("waiting for {missing} of {others} other members: {}", texts(&troubles));
                if log_throttle.is_due(&line) {
                    match troubles.values().any(Trouble::is_disagreement) {
                        true => tracing::warn!("{line}"),
                        false => tracing::info!("{line}"),
                    }
                }
                links.waiting_for().send_replace(line);
            }
        }
    }
    Ok(())
}

/// Why a peer did not accept this node at the last attempt.
struct Trouble {
    peer: String,
    url: String,
    failure: IntroduceFailure,
}

impl Trouble {
    /// Whether the two were told to found different clusters. Either of them may be the one that was told wrongly.
    fn is_disagreement(&self) -> bool {
        matches!(&self.failure, IntroduceFailure::Refused(refusal) if refusal.kind == RefusalKind::WrongCluster)
    }
}

/// Whether a majority of those that this node lists, itself among them, belong to another cluster than it: then it is
/// this node that was told wrongly, or whose directory is another's. Fewer prove nothing.
fn is_outvoted(troubles: &BTreeMap<NodeId, Trouble>, listed: usize) -> bool {
    troubles.values().filter(|trouble| trouble.is_disagreement()).count() >= majority(listed)
}

fn texts(troubles: &BTreeMap<NodeId, Trouble>) -> String {
    let text = |Trouble { peer, url, failure }: &Trouble| format!("{peer} ({url}): {failure}");
    troubles.values().map(text).collect::<Vec<_>>().join("; ")
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
