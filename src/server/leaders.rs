//! Logs who leads.

use crate::replica::Status;
use crate::types::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Logs whenever this node follows another leader, leads, or knows no leader any more; ends with the replica.
/// Names come from the configuration.
pub(super) async fn tell(mut changes: watch::Receiver<Arc<Status>>, names: BTreeMap<NodeId, String>) {
    let mut announced = None;
    loop {
        let status = changes.borrow_and_update().clone();
        // Candidacies are not logged: without a majority there is one in each election timeout.
        let news = status.leader.map(|leader| (leader, status.term));
        if announced != news {
            say(&status, &names);
            announced = news;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn say(status: &Status, names: &BTreeMap<NodeId, String>) {
    let term = status.term.get();
    match status.leader {
        Some(leader) if leader == status.node => tracing::info!(term, "this node leads"),
        Some(leader) => {
            let leader = names.get(&leader).cloned().unwrap_or_else(|| leader.to_string());
            tracing::info!(term, leader, "following");
        }
        None => tracing::info!(term, "no leader is known"),
    }
}
