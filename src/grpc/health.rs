//! Health, in the two senses that an orchestrator distinguishes.
//!
//! *Liveness* asks whether restarting this process would help: do its loop and its disk thread answer? It never
//! depends on a quorum, or the loss of some nodes would get the others restarted too. *Readiness* asks whether
//! to send requests here: a leader is known and this node's state is close behind.

use crate::api::context::Api;
use std::sync::Arc;
use std::time::Duration;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The name of liveness.
pub const LIVENESS: &str = "liveness";

/// The names that mean readiness. The empty name is the server as a whole.
pub const READINESS: [&str; 5] =
    ["", "readiness", "kontiki.v1.KvService", "kontiki.v1.ClusterService", "kontiki.v1.MaintenanceService"];

/// How often the node is checked. Its status changes with every turn of the loop, far more often than anybody asks.
const EVERY: Duration = Duration::from_millis(100);

/// The health service, NOT_SERVING until the node is found healthy, and the task that watches it. The task
/// ends with the node.
pub async fn service(api: Arc<Api>) -> HealthServer<HealthService> {
    let reporter = HealthReporter::new();
    publish(&reporter, false, false).await;
    tokio::spawn(watch(api, reporter.clone()));
    HealthServer::new(HealthService::from_health_reporter(reporter))
}

async fn watch(api: Arc<Api>, reporter: HealthReporter) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut before = (false, false);
    loop {
        let now = (api.is_alive(), api.readiness().is_ok());
        if now != before {
            tracing::info!(live = now.0, ready = now.1, "health changed");
            publish(&reporter, now.0, now.1).await;
            before = now;
        }
        tokio::select! {
            _ = every.tick() => {}
            () = api.shut_down() => {
                // Still alive, but no more requests should be sent to it.
                publish(&reporter, true, false).await;
                return;
            }
        }
    }
}

/// Sets the status of all names.
pub(in crate::grpc) async fn publish(reporter: &HealthReporter, live: bool, ready: bool) {
    reporter.set_service_status(LIVENESS, serving(live)).await;
    for name in READINESS {
        reporter.set_service_status(name, serving(ready)).await;
    }
}

fn serving(yes: bool) -> ServingStatus {
    if yes { ServingStatus::Serving } else { ServingStatus::NotServing }
}
