//! The listener for clients.

use crate::api::context::Api;
use crate::api::deadline::LONGEST;
use crate::connections::guarded::Introduction;
use crate::connections::incoming::{Door, incoming};
use crate::connections::places::Places;
use crate::grpc::admission::Admission;
use crate::grpc::cluster_service::Cluster;
use crate::grpc::kv_service::Kv;
use crate::grpc::layers::{InFlightLimit, explain};
use crate::grpc::maintenance_service::Maintenance;
use crate::grpc::starting::{self, StartingHealth};
use crate::grpc::{health, reflection};
use crate::proto::DESCRIPTORS;
use crate::proto::v1::cluster_service_server::ClusterServiceServer;
use crate::proto::v1::kv_service_server::KvServiceServer;
use crate::proto::v1::maintenance_service_server::MaintenanceServiceServer;
use crate::settings::Limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::{LayerExt as _, Routes};
use tonic::transport::Server;
use tower::ServiceBuilder;

/// How far over the limit a message may be and still be read: our own check then refuses it, with the proper reason.
const DECODE_SLACK_BYTES: usize = 64 << 10;

/// The transport's limit on answers. The real limits are those of pages and replies; this one must never be
/// hit, since a write is done by then.
const ENCODE_BYTES_MAX: usize = 256 << 20;

/// The most operators' requests that one node serves at a time.
const CLUSTER_REQUESTS_MAX: usize = 256;

/// How long a connection may take until it speaks HTTP/2.
const PREFACE_TIME: Duration = Duration::from_secs(5);

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
    let limits = api.limits.clone();
    let routes = client_routes(api).await;
    serve(routes, &limits, listener, shutdown, DRAIN).await
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
    let routes = with_reflection(starting::refusing(name, waiting_for).add_service(health.service()));
    let shutdown = async move {
        shutdown.await;
        health.end().await;
    };
    serve(routes, limits, listener, shutdown, STARTING_DRAIN).await
}

async fn serve(
    routes: Routes,
    limits: &Limits,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> Result<(), tonic::transport::Error> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let signal = async move {
        shutdown.await;
        let _ = stopping.send(());
    };
    let serve = builder(limits)
        .layer(ServiceBuilder::new().map_response(explain(limits)).into_inner())
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming(listener, door(limits)), signal);
    tokio::select! {
        outcome = serve => outcome,
        () = async {
            let _ = stopped.await;
            tokio::time::sleep(drain).await;
        } => {
            tracing::info!("some client connections were still open and are cut");
            Ok(())
        }
    }
}

fn builder(limits: &Limits) -> Server {
    Server::builder()
        // Only a fallback: handlers answer before their deadline, with details.
        .timeout(LONGEST)
        .max_concurrent_streams(limits.streams_per_connection)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        // A peer that lost power never says goodbye.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .trace_fn(|request| tracing::debug_span!("rpc", method = request.uri().path()))
}

/// How clients are let in.
fn door(limits: &Limits) -> Door {
    Door {
        places: Places::new("clients", limits.connections, limits.connections_per_address),
        introduction: Introduction::Preface,
        introduction_time: PREFACE_TIME,
    }
}

/// All services of the client listener. Health and reflection are exempt from the limits: an overloaded node
/// must not be restarted for being overloaded.
pub async fn client_routes(api: Arc<Api>) -> Routes {
    let health = health::service(Arc::clone(&api)).await;
    let requests = InFlightLimit::new(api.limits.requests_in_flight);
    let operators = InFlightLimit::new(CLUSTER_REQUESTS_MAX);
    let admission = Admission::new(Arc::clone(&api));
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
    // In time first: a request that waits for its turn must not hold a place, or those who wait would keep out those
    // who need not.
    let routes = Routes::new(admission.named_layer(requests.named_layer(kv)))
        .add_service(admission.named_layer(requests.named_layer(maintenance)))
        .add_service(operators.named_layer(cluster))
        .add_service(health);
    with_reflection(routes)
}

fn with_reflection(routes: Routes) -> Routes {
    reflection::add_to(
        routes,
        // Includes the types of error details, so that tools can decode them.
        &[DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET],
    )
}
