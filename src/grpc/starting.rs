//! What a node answers clients before its replica runs.
//!
//! A node with a new data directory takes part only after the others have accepted it, which may take as long
//! as they are away. Meanwhile it is alive, and its client listener says so: health is served, so that no
//! orchestrator restarts it for waiting; so is reflection; and every other method is refused with an
//! explanation.

use crate::api::fault::Fault;
use crate::grpc::health::{LIVENESS, READINESS, publish};
use crate::reason::Reason;
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// When it is worth asking again: introductions are repeated about this often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Health during this time.
#[derive(Clone)]
pub struct StartingHealth {
    reporter: HealthReporter,
}

impl StartingHealth {
    /// Alive, but not ready.
    pub async fn new() -> Self {
        let reporter = HealthReporter::new();
        publish(&reporter, true, false).await;
        Self { reporter }
    }

    /// Ends the streams of clients that watch, or their connections would never end; they come back and find
    /// the started node.
    pub async fn end(mut self) {
        for name in READINESS.into_iter().chain([LIVENESS]) {
            self.reporter.clear_service_status(name).await;
        }
    }

    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}

/// Routes that refuse every method except those of services added later. `waiting_for` says for whom the node waits.
pub fn refusing(name: &str, waiting_for: watch::Receiver<String>) -> Routes {
    let name = name.to_owned();
    let refuse = move || {
        let refusal = Status::from(refusal(&name, &waiting_for.borrow()));
        async move { refusal.into_http::<Body>() }
    };
    Routes::from(Routes::default().into_axum_router().fallback(refuse))
}

fn refusal(name: &str, waiting_for: &str) -> Fault {
    let doing = match waiting_for {
        "" => "it reads its state, or it is new and waits for the other members to accept it",
        others => others,
    };
    let message = format!("{name} is starting: {doing}; ask another node, or try again in a moment");
    Fault::new(Reason::Starting, message).not_applied().retry_after(ASK_AGAIN)
}
