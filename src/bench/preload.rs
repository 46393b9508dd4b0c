//! Writes every key once, in transactions as large as the cluster takes.

use crate::bench::cluster::{Cluster, request_size};
use crate::bench::error::BenchError;
use crate::bench::plan::Plan;
use crate::bench::store::Store;
use crate::bench::workload::{Shapes, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// Transactions under way at once.
const WRITERS: usize = 8;
/// Repeating a put does no harm here, so a failed transaction is tried again.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);
/// What most servers accept in one request and one transaction, for servers that do not tell their limits.
const USUAL_BYTES: u64 = 1 << 20;
const USUAL_OPS: u64 = 128;

/// Writes all keys of the plan. Returns early, without an error, when `stop` turns true.
///
/// # Errors
/// [`BenchError::Preload`] when a transaction failed several times.
pub async fn preload(
    channel: Channel,
    plan: &Plan,
    cluster: &Cluster,
    stop: &watch::Receiver<bool>,
) -> Result<(), BenchError> {
    let or_usual = |limit: u64, usual: u64| if limit == 0 { usual } else { limit };
    // Half the limit leaves room for what the estimate misses.
    let bytes = or_usual(cluster.limits.request_bytes, USUAL_BYTES) / 2;
    let chunk = (bytes / request_size(plan)).clamp(1, or_usual(cluster.limits.txn_ops, USUAL_OPS));
    let shapes = Arc::new(Shapes::new(plan));
    let next = Arc::new(AtomicU64::new(0));
    let mut writers: JoinSet<Result<(), BenchError>> = JoinSet::new();
    for _ in 0..WRITERS {
        let (shapes, next, stop) = (shapes.clone(), next.clone(), stop.clone());
        let mut store = Store::new(plan.api, channel.clone(), plan.request_timeout);
        let of = plan.key_space;
        writers.spawn(async move {
            loop {
                let first = next.fetch_add(chunk, Ordering::Relaxed);
                if first >= of || *stop.borrow() {
                    return Ok(());
                }
                let count = chunk.min(of - first);
                let written = write(&mut store, &shapes, Write { first, count, tag: first }).await;
                written.map_err(|reason| BenchError::Preload { key: first, of, reason })?;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(())
}

async fn write(store: &mut Store, shapes: &Shapes, write: Write) -> Result<(), String> {
    let mut attempt = 1;
    loop {
        match store.put_many(shapes.pairs(write)).await {
            Ok(_) => return Ok(()),
            Err(status) if attempt == ATTEMPTS => return Err(status.message().to_owned()),
            Err(_) => tokio::time::sleep(PAUSE * attempt).await,
        }
        attempt += 1;
    }
}
