//! Logs who leads.

use crate::replica::Status;
use std::sync::Arc;
use tokio::sync::watch;

/// Logs whenever this node follows another leader, leads, or knows no leader any more; ends with the replica.
pub(super) async fn tell(mut changes: watch::Receiver<Arc<Status>>) {
    let mut announced = None;
    loop {
        let status = changes.borrow_and_update().clone();
        // Candidacies are not logged: without a majority there is one in each election timeout.
        let news = status.leader.map(|leader| (leader, status.term));
        if announced != news {
            say(&status);
            announced = news;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn say(status: &Status) {
    let term = status.term.get();
    match status.leader {
        Some(leader) if leader == status.node => tracing::info!(term, "this node leads"),
        Some(leader) => {
            tracing::info!(term, leader = status.name_of(leader), "following");
        }
        None => tracing::info!(term, "no leader is known"),
    }
}
