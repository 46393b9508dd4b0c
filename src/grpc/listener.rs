//! The listener for clients.

use crate::api::context::Api;
use crate::api::deadline::LONGEST;
use crate::budget::Budget;
use crate::connections::door::{Door, Introduction};
use crate::connections::incoming::incoming;
use crate::connections::places::Places;
use crate::connections::readers;
use crate::connections::turns::Turns;
use crate::grpc::admission::Admission;
use crate::grpc::cluster_service::Cluster;
use crate::grpc::gate::{Gate, Gated};
use crate::grpc::kv_service::Kv;
use crate::grpc::layers::explain;
use crate::grpc::maintenance_service::Maintenance;
use crate::grpc::starting::{self, StartingHealth};
use crate::grpc::{health, reflection};
use crate::proto::DESCRIPTORS;
use crate::proto::v1::cluster_service_server::ClusterServiceServer;
use crate::proto::v1::kv_service_server::KvServiceServer;
use crate::proto::v1::maintenance_service_server::MaintenanceServiceServer;
use crate::settings::Limits;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower::util::option_layer;
use tower::{Layer as _, ServiceBuilder};

/// How far over the limit a message may be and still be read: our own check then refuses it, with the proper reason.
const DECODE_SLACK_BYTES: usize = 64 << 10;

/// The transport's limit on answers. The real limits are those of pages and replies; this one must never be
/// hit, since a write is done by then.
const ENCODE_BYTES_MAX: usize = 256 << 20;

/// The largest headers of a request, decoded.
const HEADER_BYTES: u32 = 16 << 10;

/// The most operators' requests that one node serves at a time.
const CLUSTER_REQUESTS_MAX: usize = 256;

/// How long a connection may take until it speaks HTTP/2.
const PREFACE_TIME: Duration = Duration::from_secs(5);

/// The most requests of supervisors, how much they and their answers may take, how long they may take to arrive,
/// and the largest of them.
const SUPERVISORS_MAX: usize = 1024;
const SUPERVISORS_BYTES: usize = 16 << 20;
const SUPERVISORS_PATIENCE: Duration = Duration::from_secs(5);
const SUPERVISION_BYTES: usize = 4 << 10;

/// The same of those who ask for descriptors: their streams stay open while they go on with something else.
const READERS_MAX: usize = 256;
const READERS_BYTES: usize = 16 << 20;
const READERS_PATIENCE: Duration = Duration::from_secs(120);

/// How long open connections may take to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// The same for the listener of a starting node, which refuses everything at once anyway.
const STARTING_DRAIN: Duration = Duration::from_millis(500);

/// Serves clients until `shutdown`, then lets requests under way finish for a while, but not longer (a client
/// that watches health would hold the connection forever).
pub async fn serve_clients(
    api: Arc<Api>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let (limits, answers, time) =
        (api.limits.clone(), Arc::clone(&api.bounds.answers), api.bounds.reading_time);
    let door = door(&limits);
    let places = Arc::clone(&door.places);
    let gate = gate(&api);
    let admission = Admission::new(gate.places(), api.router.handle.clone(), limits.default_deadline);
    let routes = client_routes(api, &gate).await;
    let serving = serve(routes, Some(admission), &limits, listener, door, shutdown, DRAIN);
    tokio::select! {
        outcome = serving => outcome,
        never = readers::watch(&places, &answers, time) => match never {},
    }
}

/// Serves clients while this node, which has a new data directory, waits for
/// the other members to accept it: health (alive, not ready) and reflection,
/// and a refusal with [`Reason::Starting`] for everything else. Ends promptly
/// after `shutdown`: connections are closed with GOAWAY, so that clients come back to the full listener.
///
/// [`Reason::Starting`]: crate::reason::Reason::Starting
pub async fn serve_starting(
    name: &str,
    waiting_for: watch::Receiver<String>,
    limits: &Limits,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let health = StartingHealth::new().await;
    let routes =
        with_reflection(starting::refusing(name, waiting_for).add_service(supervised(health.service())));
    let shutdown = async move {
        shutdown.await;
        health.end().await;
    };
    serve(routes, None, limits, listener, door(limits), shutdown, STARTING_DRAIN).await
}

async fn serve(
    routes: Routes,
    admission: Option<Admission>,
    limits: &Limits,
    listener: TcpListener,
    door: Door,
    shutdown: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> Result<(), tonic::transport::Error> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let signal = async move {
        shutdown.await;
        let _ = stopping.send(());
    };
    let turns = door.turns.clone();
    let serve = builder(limits)
        .layer(option_layer(admission))
        .layer(ServiceBuilder::new().map_response(explain(limits)).into_inner())
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming(listener, door), signal);
    tokio::select! {
        outcome = serve => outcome,
        never = give(turns) => match never {},
        () = async {
            let _ = stopped.await;
            tokio::time::sleep(drain).await;
        } => {
            tracing::info!("some client connections were still open and are cut");
            Ok(())
        }
    }
}

async fn give(turns: Option<Arc<Turns>>) -> Infallible {
    match turns {
        Some(turns) => turns.give().await,
        None => std::future::pending().await,
    }
}

fn builder(limits: &Limits) -> Server {
    Server::builder()
        // Only a fallback: handlers answer before their deadline, with details.
        .timeout(LONGEST)
        .max_concurrent_streams(limits.streams_per_connection)
        // What a client may send before it is read. Requests are read as they arrive, and charged.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        // What headers may take, decoded: paths and metadata are short. h2's own default, said aloud.
        .http2_max_header_list_size(HEADER_BYTES)
        // What is refused before it has arrived is reset, and what arrives of it later is an error to h2, which counts
        // them against the connection: a crowd that is refused must not lose it. Floods wait for their turns.
        .http2_max_local_error_reset_streams(None)
        // A peer that lost power never says goodbye.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .trace_fn(|request| tracing::debug_span!("rpc", method = request.uri().path()))
}

/// How clients are let in.
fn door(limits: &Limits) -> Door {
    Door {
        turns: Some(Turns::new()),
        places: Places::new("clients", limits.connections, limits.connections_per_address),
        introduction: Introduction::Preface,
        introduction_time: PREFACE_TIME,
    }
}

/// Health has limits of its own: an overloaded node must not be restarted for being overloaded.
fn supervised(health: HealthServer<HealthService>) -> Gated<HealthServer<HealthService>> {
    let budget = || Budget::new(SUPERVISORS_BYTES);
    Gate::new(SUPERVISORS_MAX, budget(), budget(), SUPERVISORS_PATIENCE)
        .layer(health.max_decoding_message_size(SUPERVISION_BYTES))
}

/// What all requests of clients pass.
pub fn gate(api: &Api) -> Gate {
    Gate::new(
        api.limits.requests_in_flight,
        Arc::clone(&api.bounds.requests),
        Arc::clone(&api.bounds.answers),
        api.limits.default_deadline,
    )
}

/// All services of the client listener.
pub async fn client_routes(api: Arc<Api>, gate: &Gate) -> Routes {
    let health = health::service(Arc::clone(&api)).await;
    let operators = gate.with_places(CLUSTER_REQUESTS_MAX);
    let decode = api.limits.request_bytes + DECODE_SLACK_BYTES;
    let kv = KvServiceServer::new(Kv::new(Arc::clone(&api)))
        .max_decoding_message_size(decode)
        .max_encoding_message_size(ENCODE_BYTES_MAX);
    let maintenance = MaintenanceServiceServer::new(Maintenance::new(Arc::clone(&api)))
        .max_decoding_message_size(decode)
        .max_encoding_message_size(ENCODE_BYTES_MAX);
    let cluster = ClusterServiceServer::new(Cluster::new(api))
        .max_decoding_message_size(DECODE_SLACK_BYTES)
        .max_encoding_message_size(ENCODE_BYTES_MAX);
    let routes = Routes::new(gate.layer(kv))
        .add_service(gate.layer(maintenance))
        .add_service(operators.layer(cluster))
        .add_service(supervised(health));
    with_reflection(routes)
}

/// For readers of the manual, who may take their time.
fn with_reflection(routes: Routes) -> Routes {
    let budget = || Budget::new(READERS_BYTES);
    let gate = Gate::new(READERS_MAX, budget(), budget(), READERS_PATIENCE);
    reflection::add_to(
        routes,
        &gate,
        // Includes the types of error details, so that tools can decode them.
        &[DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET],
    )
}
