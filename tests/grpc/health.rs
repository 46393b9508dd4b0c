//! Health, reflection and status over the wire.

use super::node::Node;
use kontiki::proto::v1;
use std::time::Duration;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn health(node: &Node, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(node.channel.clone());
    let request = HealthCheckRequest { service: service.into() };
    client.check(request).await.unwrap().into_inner().status()
}

async fn becomes(node: &Node, service: &str, expected: ServingStatus) {
    for _ in 0..200 {
        if health(node, service).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{service:?} never becomes {expected:?}");
}

#[tokio::test]
async fn a_node_that_leads_is_ready_until_it_stops() {
    let node = Node::alone().await;
    for name in ["", "readiness", "liveness", "kontiki.v1.KvService", "kontiki.v1.MaintenanceService"] {
        becomes(&node, name, ServingStatus::Serving).await;
    }
    let mut client = HealthClient::new(node.channel.clone());
    let request = HealthCheckRequest { service: "readiness".into() };
    let mut watched = client.watch(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    node.stopping.send(true).unwrap();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}

/// Else the loss of one node would have the others restarted too.
#[tokio::test]
async fn liveness_does_not_depend_on_a_quorum() {
    let node = Node::of_three().await;
    becomes(&node, "liveness", ServingStatus::Serving).await;
    assert_eq!(health(&node, "readiness").await, ServingStatus::NotServing);
    assert_eq!(health(&node, "").await, ServingStatus::NotServing);
}

#[tokio::test]
async fn status_lists_those_that_do_not_answer_with_the_reason() {
    let node = Node::of_three().await;
    let answer = node.cluster().status(v1::StatusRequest { local_only: false }).await.unwrap().into_inner();
    let names: Vec<_> = answer.nodes.iter().map(|node| &*node.member.as_ref().unwrap().name).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    let own = &answer.nodes[0];
    assert_eq!((&*own.error, own.ready, own.revision), ("", false, 1));
    assert!(own.not_ready_reason.contains("no leader"), "{}", own.not_ready_reason);
    assert_eq!((own.leader_id, &*own.version, &*own.durability), (0, "test", "none"));
    assert!(answer.nodes[1..].iter().all(|node| !node.error.is_empty()));
    let limits = answer.limits.unwrap();
    assert_eq!((limits.key_bytes, limits.request_bytes, limits.txn_ops), (8192, 1_572_864, 128));
    assert_eq!((limits.page_keys, limits.page_bytes), (10_000, 4 << 20));

    let local = node.cluster().status(v1::StatusRequest { local_only: true }).await.unwrap().into_inner();
    assert_eq!(local.nodes.len(), 1);
    let members = node.cluster().members(v1::MembersRequest {}).await.unwrap().into_inner().members;
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| !member.learner && !member.peer_urls.is_empty()));
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    use tonic_reflection::pb::{v1, v1alpha};
    let node = Node::alone().await;

    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(node.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for expected in ["kontiki.v1.KvService", "kontiki.v1.ClusterService", "grpc.health.v1.Health"] {
        assert!(names.contains(&expected), "{names:?}");
    }

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
            "kontiki.v1.PutRequest".into(),
        )),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(node.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(
        answer,
        v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
    ));
}
