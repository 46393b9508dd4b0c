//! Processes die, stop and return; what was acknowledged stays.

use super::harness::{Cluster, Setup, get, put, text, until};
use super::writer::Writers;
use kontiki::proto::v1;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_and_returns() {
    let mut cluster = Cluster::start().await;
    let writers = Writers::start(&cluster, 4);
    writers.more(100).await;
    let old = cluster.leader().await;
    cluster.nodes[old].kill();
    let new = cluster.leader_other_than(Some(old)).await;
    assert_ne!(new, old);
    writers.more(100).await;
    cluster.nodes[old].start();
    cluster.nodes[old].ready().await;
    writers.more(100).await;
    let promises = writers.finish().await;
    // Well under a second on an idle machine; the bound allows for a busy one.
    println!("the longest time without an acknowledged write: {:?}", promises.longest_gap);
    assert!(promises.longest_gap < Duration::from_secs(5), "failover took {:?}", promises.longest_gap);
    promises.assert_kept(&cluster).await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_follower_is_not_missed_and_catches_up() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let follower = cluster.other_than(leader);
    let writers = Writers::start(&cluster, 4);
    writers.more(50).await;
    cluster.nodes[follower].kill();
    writers.more(200).await;
    assert_eq!(cluster.leader().await, leader, "a follower's death moves nobody");
    cluster.nodes[follower].start();
    writers.more(50).await;
    let promises = writers.finish().await;
    promises.assert_kept(&cluster).await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_killed_at_once_while_writing_lose_nothing() {
    let mut cluster = Cluster::start().await;
    let writers = Writers::start(&cluster, 8);
    for _ in 0..3 {
        writers.more(200).await;
        for node in &mut cluster.nodes {
            node.kill();
        }
        cluster.start_all();
        cluster.leader().await;
    }
    writers.more(50).await;
    let promises = writers.finish().await;
    promises.assert_kept(&cluster).await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_is_replaced_and_learns_of_it() {
    let cluster = Cluster::start().await;
    let old = cluster.leader().await;
    let term = cluster.nodes[old].status().await.unwrap().raft_term;
    let writers = Writers::start(&cluster, 4);
    writers.more(50).await;
    cluster.nodes[old].signal("STOP");
    let new = cluster.leader_other_than(Some(old)).await;
    writers.more(100).await;
    // A write of which the stopped leader knows nothing.
    cluster.nodes[new].kv().put(put("while-stopped", "new")).await.unwrap();
    cluster.nodes[old].signal("CONT");
    // The first answer may be an error, but never stale.
    let answer = cluster.nodes[old].kv().get(get("while-stopped", v1::ReadLevel::Linearizable)).await;
    if let Ok(answer) = answer {
        assert_eq!(text(answer.into_inner().kv).as_deref(), Some("new"), "a stale read");
    }
    until("the old leader follows", || async {
        let status = cluster.nodes[old].status().await?;
        (status.raft_term > term && status.ready).then_some(())
    })
    .await;
    let promises = writers.finish().await;
    promises.assert_kept(&cluster).await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_stop_hands_over_first() {
    let mut cluster = Cluster::start().await;
    let writers = Writers::start(&cluster, 4);
    writers.more(50).await;
    let old = cluster.leader().await;
    cluster.nodes[old].signal("TERM");
    let started = std::time::Instant::now();
    let status = cluster.nodes[old].exit().await;
    assert!(status.success(), "{} ended with {status}", cluster.nodes[old].name);
    assert!(started.elapsed() < Duration::from_secs(10), "stopping took {:?}", started.elapsed());
    writers.more(50).await;
    let promises = writers.finish().await;
    cluster.nodes[old].start();
    cluster.nodes[old].ready().await;
    promises.assert_kept(&cluster).await;
    cluster.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_serves_old_reads_and_refuses_the_rest() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    cluster.nodes[leader].kv().put(put("k", "v")).await.unwrap();
    let survivor = cluster.other_than(leader);
    let mut request = get("k", v1::ReadLevel::AtLeast);
    request.min_revision = 2;
    cluster.nodes[survivor].kv().get(request).await.unwrap();
    for place in 0..3 {
        if place != survivor {
            cluster.nodes[place].kill();
        }
    }
    let local = cluster.nodes[survivor].kv().get(get("k", v1::ReadLevel::Local)).await.unwrap().into_inner();
    assert_eq!(text(local.kv).as_deref(), Some("v"));
    let mut write = tonic::Request::new(put("k", "w"));
    write.set_timeout(Duration::from_secs(5));
    let refused = cluster.nodes[survivor].kv().put(write).await.unwrap_err();
    assert!(
        matches!(refused.code(), tonic::Code::Unavailable | tonic::Code::DeadlineExceeded),
        "a write without a majority: {refused:?}"
    );
    let mut read = tonic::Request::new(get("k", v1::ReadLevel::Linearizable));
    read.set_timeout(Duration::from_secs(5));
    let refused = cluster.nodes[survivor].kv().get(read).await.unwrap_err();
    assert!(
        matches!(refused.code(), tonic::Code::Unavailable | tonic::Code::DeadlineExceeded),
        "a linearizable read without a majority: {refused:?}"
    );
}

/// Requests that cost much and are only refused keep those busy who serve clients, and nobody else: the
/// leader's heartbeats do not wait behind them.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_expensive_refusals_deposes_no_leader() {
    let arguments = vec!["--timing".to_owned(), "wan".to_owned()];
    let mut cluster = Cluster::prepare(Setup { arguments, ..Setup::default() }).await;
    cluster.start_all();
    let leader = cluster.leader().await;
    let before = cluster.nodes[leader].ready().await;
    let expensive = v1::TxnRequest { success: vec![v1::TxnOp::default(); 60_000], ..Default::default() };
    let flood: Vec<_> = (0..64)
        .map(|_| {
            let (mut kv, txn) = (cluster.nodes[leader].kv(), expensive.clone());
            tokio::spawn(async move { kv.txn(txn).await })
        })
        .collect();
    for refused in flood {
        assert!(refused.await.unwrap().is_err());
    }
    let after = cluster.nodes[leader].ready().await;
    let of = |status: &v1::NodeStatus| (status.raft_term, status.leader_id);
    assert_eq!(of(&after), of(&before), "another leader was elected");
}
