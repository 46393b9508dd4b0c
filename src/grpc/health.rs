//! Health, in the two senses that an orchestrator needs apart.
//!
//! *Liveness* asks whether restarting this process would help: do its loop and
//! its disk thread answer? It never depends on a quorum, or the loss of one node
//! would have the others restarted too. *Readiness* asks whether to send
//! requests here: a leader is known and this node's state is close behind.

use crate::grpc::context::Context;
use crate::replica::Status;
use crate::types::Index;
use std::sync::Arc;
use std::time::Duration;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Answers liveness.
pub const LIVENESS: &str = "liveness";

/// Answer readiness. The empty name is the server as a whole.
pub const READINESS: [&str; 5] =
    ["", "readiness", "kontiki.v1.KvService", "kontiki.v1.ClusterService", "kontiki.v1.MaintenanceService"];

/// How often the node is looked at. Its status changes with every turn of the
/// loop, far more often than anybody asks.
const EVERY: Duration = Duration::from_millis(100);

/// A state that is further behind the commit index than this is catching up.
const BEHIND_MAX: u64 = 1_000;

/// The health service, NOT_SERVING until the node is seen to be well, and the
/// task that watches it. The task ends with the node.
pub async fn service(context: Arc<Context>) -> HealthServer<HealthService> {
    let reporter = HealthReporter::new();
    publish(&reporter, false, false).await;
    tokio::spawn(watch(context, reporter.clone()));
    HealthServer::new(HealthService::from_health_reporter(reporter))
}

async fn watch(context: Arc<Context>, reporter: HealthReporter) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut before = (false, false);
    loop {
        let now = (context.handle.alive(), readiness(&context).is_ok());
        if now != before {
            tracing::info!(live = now.0, ready = now.1, "health changed");
            publish(&reporter, now.0, now.1).await;
            before = now;
        }
        tokio::select! {
            _ = every.tick() => {}
            () = context.shut_down() => {
                // Still alive, but to be sent nothing more.
                publish(&reporter, true, false).await;
                return;
            }
        }
    }
}

/// Tells all names at once.
pub(in crate::grpc) async fn publish(reporter: &HealthReporter, live: bool, ready: bool) {
    reporter.set_service_status(LIVENESS, serving(live)).await;
    for name in READINESS {
        reporter.set_service_status(name, serving(ready)).await;
    }
}

fn serving(yes: bool) -> ServingStatus {
    if yes { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// Whether requests should be sent to this node; if not, why not.
pub fn readiness(context: &Context) -> Result<(), String> {
    if context.is_shutting_down() {
        return Err("the node is stopping".into());
    }
    if !context.handle.alive() {
        return Err("the node's loop or its disk does not answer".into());
    }
    let applied = context.handle.view().applied().index;
    is_ready(&context.handle.status(), applied)
}

fn is_ready(status: &Status, applied: Index) -> Result<(), String> {
    if status.leader.is_none() {
        return Err(format!("no leader is known in term {}", status.term));
    }
    if status.disk_stalled {
        return Err("the disk does not keep up".into());
    }
    let behind = status.commit.get().saturating_sub(applied.get());
    if behind > BEHIND_MAX {
        return Err(format!("the state is {behind} entries behind; it is catching up"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Members, RoleName};
    use crate::types::{EntryId, NodeId, Term};

    fn status() -> Status {
        Status {
            node: NodeId(1),
            role: RoleName::Follower,
            term: Term(3),
            leader: Some(NodeId(2)),
            commit: Index(5_000),
            last: EntryId::new(3, 5_000),
            durable: Index(5_000),
            compacted: EntryId::ZERO,
            members: Members::of_voters([NodeId(1), NodeId(2), NodeId(3)]),
            followers: Vec::new(),
            disk_stalled: false,
        }
    }

    #[test]
    fn ready_means_a_leader_a_disk_and_a_state_that_is_close() {
        assert_eq!(is_ready(&status(), Index(4_990)), Ok(()));
        // The view may be newer than the status that was read before it.
        assert_eq!(is_ready(&status(), Index(5_001)), Ok(()));
        assert!(is_ready(&status(), Index(10)).unwrap_err().contains("4990 entries behind"));
        let leaderless = Status { leader: None, ..status() };
        assert!(is_ready(&leaderless, Index(5_000)).unwrap_err().contains("no leader"));
        let stalled = Status { disk_stalled: true, ..status() };
        assert!(is_ready(&stalled, Index(5_000)).is_err());
    }
}
