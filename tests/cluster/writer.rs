//! A client that writes all the time and remembers what was acknowledged.

use super::harness::{Cluster, get, put, text, until};
use kontiki::proto::v1;
use kontiki::proto::v1::kv_service_client::KvServiceClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// Writers that run during a test.
pub struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Promises>>,
}

/// What was acknowledged: key, value and revision of each, and the longest time without any.
#[derive(Default)]
pub struct Promises {
    pub writes: Vec<(String, String, i64)>,
    pub longest_gap: Duration,
}

impl Writers {
    /// Starts `count` writers, each with keys of its own, spread over all nodes.
    pub fn start(cluster: &Cluster, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let urls: Vec<String> = cluster.nodes.iter().map(super::harness::Node::client_url).collect();
        let tasks = (0..count)
            .map(|number| tokio::spawn(write(number, urls.clone(), stop.clone(), acknowledged.clone())))
            .collect();
        Self { stop, acknowledged, tasks }
    }

    /// Waits until this many more writes were acknowledged.
    pub async fn more(&self, count: u64) {
        let target = self.acknowledged.load(Ordering::Relaxed) + count;
        until(&format!("{count} more writes are acknowledged"), || async {
            (self.acknowledged.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }

    pub async fn finish(self) -> Promises {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Promises::default();
        for task in self.tasks {
            let one = task.await.unwrap();
            all.writes.extend(one.writes);
            all.longest_gap = all.longest_gap.max(one.longest_gap);
        }
        all
    }
}

async fn write(number: usize, urls: Vec<String>, stop: Arc<AtomicBool>, total: Arc<AtomicU64>) -> Promises {
    let channel = |url: &String| {
        let endpoint = Endpoint::from_shared(url.clone()).unwrap();
        endpoint.connect_timeout(Duration::from_millis(200)).tcp_nodelay(true).connect_lazy()
    };
    let mut clients: Vec<KvServiceClient<Channel>> =
        urls.iter().map(|url| KvServiceClient::new(channel(url))).collect();
    let mut promises = Promises::default();
    let mut last = Instant::now();
    let mut place = number;
    for sequence in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) = (format!("w{number}/{sequence:08}"), format!("{number}-{sequence}"));
        let mut request = tonic::Request::new(put(&key, &value));
        request.set_timeout(Duration::from_secs(1));
        let count = clients.len();
        match clients[place % count].put(request).await {
            Ok(answer) => {
                let revision = answer.into_inner().header.unwrap().revision;
                promises.writes.push((key, value, revision));
                promises.longest_gap = promises.longest_gap.max(last.elapsed());
                last = Instant::now();
                total.fetch_add(1, Ordering::Relaxed);
            }
            // Not acknowledged: nothing was promised. The key is never used again.
            Err(_) => {
                place += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    promises
}

impl Promises {
    /// Every acknowledged write is there, on every running node.
    pub async fn assert_kept(&self, cluster: &Cluster) {
        assert!(!self.writes.is_empty(), "nothing was acknowledged, so nothing was tested");
        let mut revisions: Vec<i64> = self.writes.iter().map(|(_, _, revision)| *revision).collect();
        revisions.sort_unstable();
        let newest = *revisions.last().unwrap();
        assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "a revision was given twice");
        for node in cluster.nodes.iter().filter(|node| node.is_running()) {
            node.ready().await;
            let mut client = node.kv();
            for (key, value, _) in &self.writes {
                let mut request = get(key, v1::ReadLevel::AtLeast);
                request.min_revision = newest;
                let answer = client.get(request).await;
                let answer =
                    answer.unwrap_or_else(|error| panic!("{} cannot read {key}: {error}", node.name));
                let found = text(answer.into_inner().kv);
                assert_eq!(found.as_ref(), Some(value), "{} lost {key}, which was acknowledged", node.name);
            }
        }
    }
}
