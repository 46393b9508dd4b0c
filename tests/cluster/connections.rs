//! Connections that say nothing, more of them than a node has descriptors.

use crate::cluster::harness::{Cluster, Setup, until};
use kontiki::connections::descriptors;
use kontiki::proto::v1;
use tokio::net::TcpStream;

const CROWD: usize = 1_100;

/// Connects, and says nothing. Those that are refused or closed count too.
async fn crowd(port: u16) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    while crowd.len() < CROWD {
        crowd.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    crowd
}

async fn stands_a_crowd(limit: &str) {
    // The crowd's own ends.
    descriptors::raise(4 * CROWD);
    let prefix = Setup::under_ulimit(limit);
    let mut cluster = Cluster::prepare(Setup { size: 1, prefix, ..Setup::default() }).await;
    cluster.start_all();
    cluster.leader().await;
    let node = &cluster.nodes[0];
    let _clients = crowd(node.client_port).await;
    let _peers = crowd(node.peer_port).await;
    // Its own measurements and a new segment of the journal need descriptors too.
    for number in 0..24 {
        let put = v1::PutRequest {
            key_form: Some(v1::put_request::KeyForm::Key(format!("k{number}"))),
            value_form: Some(v1::put_request::ValueForm::ValueBytes(vec![7; 1 << 20].into())),
            ..v1::PutRequest::default()
        };
        until("a put is answered", || async { node.kv().put(put.clone()).await.ok() }).await;
    }
    assert!(node.is_running());
}

#[tokio::test]
async fn a_crowd_of_silent_connections_hurts_nobody() {
    stands_a_crowd("-Sn 1024").await;
}

#[tokio::test]
async fn nor_does_it_where_the_limit_cannot_be_raised() {
    stands_a_crowd("-n 700").await;
}
