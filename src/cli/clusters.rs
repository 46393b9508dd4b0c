//! Which cluster the endpoints belong to. They are the user's word, and nothing else would notice that one of them is of
//! another cluster: a command asks whichever answers.

use crate::address::NodeUrl;
use crate::cli::exit::CliError;
use crate::client::Client;
use crate::types::ClusterId;
use futures_util::future::join_all;
use std::time::Duration;

/// How long an endpoint may take to say who it is, where that is all it is asked. What answers later is not judged.
const PATIENCE: Duration = Duration::from_millis(300);

/// Who answers at an endpoint that the user named. An advertised address need not be reachable from here; these are.
pub(super) struct Answering {
    pub endpoint: NodeUrl,
    pub node: u64,
    cluster: u64,
}

/// Asks all endpoints at once who they are.
pub(super) async fn answering(client: &Client, patience: Duration) -> Vec<Answering> {
    let asked = client.endpoints().iter().map(|endpoint| async {
        let only = client.only(endpoint);
        let status = tokio::time::timeout(patience, only.local_status()).await.ok()?;
        let meta = status.ok()?.meta;
        Some(Answering { endpoint: endpoint.clone(), node: meta.node_id, cluster: meta.cluster_id })
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Refuses endpoints of different clusters.
pub(super) fn must_be_one(answering: &[Answering]) -> Result<(), CliError> {
    let mut clusters: Vec<u64> = answering.iter().map(|one| one.cluster).collect();
    clusters.sort_unstable();
    clusters.dedup();
    if clusters.len() <= 1 {
        return Ok(());
    }
    let lines =
        answering.iter().map(|one| format!("\n  {} is of cluster {}", one.endpoint, ClusterId(one.cluster)));
    Err(CliError::Usage(format!("the endpoints are of different clusters:{}", lines.collect::<String>())))
}

/// The same for a command that asks only one of the endpoints. One endpoint alone needs no asking.
pub(super) async fn check(client: &Client) -> Result<(), CliError> {
    if client.endpoints().len() > 1 { must_be_one(&answering(client, PATIENCE).await) } else { Ok(()) }
}
