//! Writes and reads that a follower forwards to its leader.

use super::harness::{Cluster, Node, get, put, text, until};
use kontiki::proto::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

/// A request with a time limit.
fn within<M>(time: Duration, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

fn outcome(status: &Status) -> Option<String> {
    status.get_details_error_info()?.metadata.get("outcome").cloned()
}

async fn value(node: &Node, key: &str) -> Option<String> {
    text(node.kv().get(get(key, v1::ReadLevel::Local)).await.unwrap().into_inner().kv)
}

/// The address at which a follower was told to look for its leader belongs to another cluster by now,
/// which has a leader too. That leader must never get the write, and its answers must not be taken for this
/// cluster's.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_never_passed_on_to_another_cluster() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    let mut stranger = cluster.stranger();
    stranger.start();
    stranger.ready().await;
    stranger.kv().put(put("k", "the other cluster's")).await.unwrap();

    cluster.nodes[follower].kill();
    let leaders_port = cluster.nodes[leader].peer_port;
    cluster.nodes[follower].mistype(leaders_port, stranger.peer_port);
    cluster.nodes[follower].start();
    let follower = &cluster.nodes[follower];
    until("the follower hears its leader", || async {
        follower.status().await.filter(|status| status.leader_id != 0)
    })
    .await;

    // Its own cluster is found all the same: the log says where, and so does the leader.
    follower.kv().put(put("k", "v")).await.unwrap();
    assert_eq!(value(&cluster.nodes[leader], "k").await.as_deref(), Some("v"));

    assert_eq!(value(&stranger, "k").await.as_deref(), Some("the other cluster's"));
    assert_eq!(stranger.revision().await, 2, "something was written there");
    cluster.assert_equal_states().await;
}

/// Hundreds of clients that give up after 20 ms, and one at the same node that does not: all
/// their requests take the same way to the leader, and only the impatient ones may pay for it.
#[tokio::test(flavor = "multi_thread")]
async fn impatient_clients_leave_no_innocent_write_in_doubt() {
    let cluster = Cluster::start().await;
    let follower = cluster.other_than(cluster.leader().await);
    let follower = &cluster.nodes[follower];
    let (done, given_up) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let connections: Vec<_> = (0..20).map(|_| follower.kv()).collect();
    let crowd: Vec<_> = (0..500)
        .map(|client: usize| {
            let mut kv = connections[client % connections.len()].clone();
            let (done, given_up) = (done.clone(), given_up.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let write = kv.put(within(Duration::from_millis(20), put("crowd", "v")));
                    // As most clients do, this one also drops the call when its time is over.
                    if !matches!(tokio::time::timeout(Duration::from_millis(20), write).await, Ok(Ok(_))) {
                        given_up.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    until("the crowd is impatient", || async { (given_up.load(Ordering::Relaxed) > 500).then_some(()) })
        .await;

    let (mut innocent, mut written) = (follower.kv(), 0);
    for number in 0..20 {
        let request = within(Duration::from_secs(10), put("innocent", &number.to_string()));
        match innocent.put(request).await {
            Ok(_) => written += 1,
            Err(status) => assert_eq!(outcome(&status).as_deref(), Some("NOT_APPLIED"), "{status:?}"),
        }
    }
    done.store(true, Ordering::Relaxed);
    for client in crowd {
        client.await.unwrap();
    }
    assert!(written > 0, "no innocent write was done");
    cluster.assert_equal_states().await;
}
