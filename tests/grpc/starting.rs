//! A new node, before the other members have accepted it.

use super::node::{get, put};
use kontiki::grpc::listener::serve_starting;
use kontiki::proto::v1;
use kontiki::proto::v1::cluster_service_client::ClusterServiceClient;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use kontiki::settings::Limits;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

struct Starting {
    channel: Channel,
    accepted: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn starting() -> Starting {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, shutdown) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let shutdown = async move { drop(shutdown.await) };
        let (_waits, waiting_for) = watch::channel("waiting for 1 of 2 other members: n2".to_owned());
        serve_starting("n1", waiting_for, &Limits::default(), listener, shutdown).await.unwrap();
    });
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    Starting { channel, accepted, serving }
}

async fn health(channel: &Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.into() };
    HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner().status()
}

/// Else an orchestrator would restart it while it waits.
#[tokio::test]
async fn it_is_alive_but_not_ready() {
    let node = starting().await;
    assert_eq!(health(&node.channel, "liveness").await, ServingStatus::Serving);
    for name in ["", "readiness", "kontiki.v1.KvService", "kontiki.v1.ClusterService"] {
        assert_eq!(health(&node.channel, name).await, ServingStatus::NotServing, "{name:?}");
    }
}

fn assert_refused(refused: &Status) {
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().contains("n1 is starting: waiting for 1 of 2 other members: n2;"),
        "{}",
        refused.message()
    );
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["outcome"]), ("STARTING", "NOT_APPLIED"));
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some());
    assert_eq!(refused.metadata().get("kontiki-write-outcome").unwrap(), "NOT_APPLIED");
}

#[tokio::test]
async fn requests_are_refused_in_words() {
    let node = starting().await;
    let mut kv = KvServiceClient::new(node.channel.clone());
    assert_refused(&kv.put(put("k", "v")).await.unwrap_err());
    assert_refused(&kv.get(get("k")).await.unwrap_err());
    assert_refused(&kv.scan(v1::ScanRequest::default()).await.unwrap_err());
    let mut cluster = ClusterServiceClient::new(node.channel.clone());
    assert_refused(&cluster.members(v1::MembersRequest {}).await.unwrap_err());
}

#[tokio::test]
async fn reflection_is_there() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let node = starting().await;
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("kontiki.v1.PutRequest".into())),
    };
    let mut client = ServerReflectionClient::new(node.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
}

/// Those who watch come back to the listener that serves all.
#[tokio::test]
async fn it_ends_promptly_even_if_somebody_watches() {
    let node = starting().await;
    let request = HealthCheckRequest { service: "readiness".into() };
    let mut watched = HealthClient::new(node.channel.clone()).watch(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    node.accepted.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(3), node.serving).await.unwrap().unwrap();
    assert!(matches!(watched.message().await, Ok(None)), "the watch has an end");
}
