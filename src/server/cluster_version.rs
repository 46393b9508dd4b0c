//! Raises the cluster's version once all members run a program that knows more.

use crate::machine::{ClusterVersion, Command, Raise};
use crate::peers::Peers;
use crate::raft::RoleName;
use crate::replica::Handle;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked at. Nothing waits for it: what is late only keeps newer entries away for longer.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the entry may take; after that it is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets the connections know the cluster's version, and raises it where this node leads, until `stopping`.
pub(super) async fn keep(handle: Handle, peers: Peers, stopping: impl Future<Output = ()>) {
    tokio::pin!(stopping);
    loop {
        let version = handle.view().version();
        peers.require(version);
        let leads = handle.status().role == RoleName::Leader;
        if let Some(higher) = version.raisable(peers.supported()).filter(|_| leads) {
            raise(&handle, higher).await;
        }
        tokio::select! {
            () = &mut stopping => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn raise(handle: &Handle, version: ClusterVersion) {
    let command = Command::Raise(Raise { version }).encode();
    match handle.write(command, Instant::now() + PATIENCE).await {
        Ok(applied) => tracing::info!(%version, entry = %applied.id, "the cluster's version is raised"),
        Err(error) => tracing::warn!(%version, %error, "the cluster's version could not be raised yet"),
    }
}
