//! More is asked than can be done: what is done is done in time, the rest is refused at once, and the leader stays.

use super::harness::{Cluster, Setup, put};
use kontiki::proto::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// Machines that run tests are busy with others, too: heartbeats may take their time.
async fn patient_cluster() -> Cluster {
    let arguments = vec!["--timing".to_owned(), "wan".to_owned()];
    let mut cluster = Cluster::prepare(Setup { arguments, ..Setup::default() }).await;
    cluster.start_all();
    cluster
}

async fn leadership(cluster: &Cluster, node: usize) -> (u64, u64) {
    let status = cluster.nodes[node].ready().await;
    (status.raft_term, status.leader_id)
}

/// Thousands of writers, each with a write under way all the time, and little patience.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_served_or_refused_at_once() {
    const WRITERS: usize = 6000;
    const CONNECTIONS: usize = 8;
    const PATIENCE: Duration = Duration::from_secs(1);
    let cluster = patient_cluster().await;
    let leader = cluster.leader().await;
    let before = leadership(&cluster, leader).await;
    let [done, refused, late] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let stubs: Vec<_> = (0..CONNECTIONS).map(|_| cluster.nodes[leader].kv()).collect();
    let end = Instant::now() + Duration::from_secs(4);
    let crowd: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut kv = stubs[writer % CONNECTIONS].clone();
            let (done, refused, late) = (done.clone(), refused.clone(), late.clone());
            tokio::spawn(async move {
                while Instant::now() < end {
                    let mut request = Request::new(put(&format!("k{writer}"), "v"));
                    request.set_timeout(PATIENCE);
                    match kv.put(request).await {
                        Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                        Err(status) if is_refusal(&status) => {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(status) => {
                            assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
                            late.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            })
        })
        .collect();
    for writer in crowd {
        writer.await.unwrap();
    }
    let [done, refused, late] = [done, refused, late].map(|count| count.load(Ordering::Relaxed));
    println!("{done} done, {refused} refused, {late} late");
    assert!(refused > 0, "it was no crowd");
    assert!(late * 50 < done, "{late} came too late, {done} in time");
    // It is as if nothing had been.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    cluster.nodes[leader].kv().put(put("after", "all")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(leadership(&cluster, leader).await, before, "another leader was elected");
}

/// Certainly not applied, and told when to try again.
fn is_refusal(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| {
        info.reason == "OVERLOADED" && info.metadata.get("outcome").is_some_and(|is| is == "NOT_APPLIED")
    }) && status.get_details_retry_info().is_some()
}

/// Requests that cost much and are only refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_expensive_refusals_deposes_no_leader() {
    let cluster = patient_cluster().await;
    let leader = cluster.leader().await;
    let before = leadership(&cluster, leader).await;
    for parts in [16_000, 700_000] {
        let expensive = v1::TxnRequest { success: vec![v1::TxnOp::default(); parts], ..Default::default() };
        let flood: Vec<_> = (0..64)
            .map(|_| {
                let (mut kv, txn) = (cluster.nodes[leader].kv(), expensive.clone());
                tokio::spawn(async move { kv.txn(txn).await })
            })
            .collect();
        for refused in flood {
            assert!(refused.await.unwrap().is_err());
        }
    }
    assert_eq!(leadership(&cluster, leader).await, before, "another leader was elected");
}
