//! What the listener for other nodes takes beside Raft.

use super::node::{Node, put};
use kontiki::grpc::listener::{connections, forwarded_routes};
use kontiki::proto::v1;
use kontiki::proto::v1::cluster_service_client::ClusterServiceClient;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use kontiki::settings::Limits;
use kontiki::types::NodeId;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

async fn peer_listener(node: &Node) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_routes(forwarded_routes(&node.context));
    tokio::spawn(server.serve_with_incoming(connections(listener)));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

fn forwarded<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("kontiki-forwarded", "n2".parse().unwrap());
    request
}

#[tokio::test]
async fn a_client_that_came_to_the_wrong_listener_is_sent_to_the_right_one() {
    let node = Node::alone().await;
    let channel = peer_listener(&node).await;
    let refused = KvServiceClient::new(channel.clone()).put(put("k", "v")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["outcome"]), ("NOT_FORWARDED", "NOT_APPLIED"));
    assert_eq!(info.metadata["client_url"], "http://n1:2379");
    let status = ClusterServiceClient::new(channel.clone()).status(v1::StatusRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::FailedPrecondition);

    KvServiceClient::new(channel).put(forwarded(put("k", "v"))).await.unwrap();
}

#[tokio::test]
async fn it_takes_only_so_many_requests_at_a_time() {
    let node = Node::alone_with(Limits { requests_in_flight: 0, ..Limits::default() }).await;
    let channel = peer_listener(&node).await;
    let refused = KvServiceClient::new(channel).put(forwarded(put("k", "v"))).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "OVERLOADED");
}

/// One node shows how another is by asking on its peer listener.
#[tokio::test]
async fn the_table_of_all_nodes_is_asked_there() {
    let (asking, asked) = (Node::of_three().await, Node::alone().await);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Endpoint::from_shared(format!("http://{nobody}")).unwrap().connect_lazy();
    let channels = [(NodeId(2), peer_listener(&asked).await), (NodeId(3), nobody)];
    asking.peers.channels.lock().unwrap().extend(channels);
    let nodes = asking.cluster().status(v1::StatusRequest::default()).await.unwrap().into_inner().nodes;
    assert_eq!((&*nodes[1].error, &*nodes[1].version), ("", "test"));
    assert!(nodes[2].error.contains("refused"), "{}", nodes[2].error);
}
