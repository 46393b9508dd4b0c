//! Raises the cluster's version once all members run a program that knows more.

use crate::machine::{ClusterVersion, Command, Raise};
use crate::peers::Peers;
use crate::raft::RoleName;
use crate::replica::Handle;
use std::time::Duration;
use tokio::time::Instant;

/// How often to check. Nothing waits for it: a delay only postpones newer kinds of entries.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the entry may take before the next attempt.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the connections the cluster's version, and raises it when this node leads, until `stopping`.
pub(super) async fn keep(handle: Handle, peers: Peers, stopping: impl Future<Output = ()>) {
    tokio::pin!(stopping);
    loop {
        let version = handle.view().version();
        peers.require(version);
        let leads = handle.status().role == RoleName::Leader;
        let step = async {
            if let Some(higher) = version.raisable(peers.supported()).filter(|_| leads) {
                raise(&handle, higher).await;
            }
            tokio::time::sleep(INTERVAL).await;
        };
        tokio::select! {
            () = &mut stopping => return,
            () = step => {}
        }
    }
}

async fn raise(handle: &Handle, version: ClusterVersion) {
    let command = Command::Raise(Raise { version }).encode();
    let deadline = Instant::now() + PATIENCE;
    // A write has no deadline once it is proposed; whether this one is applied is seen in the state.
    let Ok(outcome) = tokio::time::timeout_at(deadline, handle.write(command, deadline)).await else {
        return;
    };
    match outcome {
        Ok(applied) => tracing::info!(%version, entry = %applied.id, "the cluster's version is raised"),
        Err(error) => tracing::warn!(%version, %error, "the cluster's version could not be raised yet"),
    }
}
