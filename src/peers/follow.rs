//! Keeps one link for each member that the log names.

use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::{dialer, forward_dialer};
use crate::raft::Members;
use std::sync::Arc;
use tokio::sync::watch;

/// Follows the members until the node stops.
pub async fn run(links: Links, mut members: watch::Receiver<Arc<Members>>) {
    let following = async {
        // An error means that the replica has ended, and the node is about to.
        while members.changed().await.is_ok() {
            let now = members.borrow_and_update().clone();
            for link in links.follow(&now) {
                dial(&links, link);
            }
        }
    };
    tokio::select! {
        () = links.stopped() => {}
        () = following => {}
    }
}

/// Connects to a peer, for as long as it is one.
pub fn dial(links: &Links, link: Arc<Link>) {
    links.runtime().spawn(dialer::run(links.clone(), link.clone()));
    links.runtime().spawn(forward_dialer::run(links.clone(), link));
}
