//! How a node is told to stop, part by part.

use tokio::sync::watch;

/// What the parts of a node wait for when it stops, in this order.
#[derive(Default)]
pub(super) struct Signals {
    /// The node is no longer ready; long streams end.
    pub(super) stopping: watch::Sender<bool>,
    /// No new client connections; what is under way finishes.
    pub(super) close_clients: watch::Sender<bool>,
    /// Nothing more to or from peers.
    pub(super) close_peers: watch::Sender<bool>,
}

/// Resolves when the signal was given. A sender that is gone means the same.
pub(super) async fn given(mut signal: watch::Receiver<bool>) {
    let _ = signal.wait_for(|given| *given).await;
}
