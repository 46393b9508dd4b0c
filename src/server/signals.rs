//! The signals that stop a node, part by part.

use tokio::sync::watch;

/// The signals to the parts of a node when it stops, in this order.
#[derive(Default)]
pub(super) struct Signals {
    /// The node is not ready any more; long streams end.
    pub(super) stopping: watch::Sender<bool>,
    /// No new client connections; requests under way finish.
    pub(super) close_clients: watch::Sender<bool>,
    /// Nothing more to or from peers.
    pub(super) close_peers: watch::Sender<bool>,
}

/// Resolves when the signal is given or its sender is gone.
pub(super) async fn given(mut signal: watch::Receiver<bool>) {
    let _ = signal.wait_for(|given| *given).await;
}
