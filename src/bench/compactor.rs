//! Compaction while the load runs: every so often all history is compacted.

use crate::bench::plan::Plan;
use crate::bench::recorder::Recorder;
use crate::bench::store::Store;
use crate::bench::target;
use crate::bench::workload::Shapes;
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;

/// A compaction of much history may take longer than a put may.
const PATIENCE: Duration = Duration::from_secs(30);

/// Compacts as planned until the load is `over`; returns how many succeeded and failed.
pub async fn run(plan: &Plan, url: &str, mut over: watch::Receiver<()>) -> Recorder {
    let mut recorder = Recorder::default();
    let Some(every) = plan.compact_every else {
        return recorder;
    };
    let compacting = async {
        let mut store = match target::connect(url).await {
            Ok(channel) => Store::new(plan.api, channel, PATIENCE),
            Err(error) => return recorder.failed(&Status::unavailable(error.to_string())),
        };
        let mut compacted = 0;
        loop {
            tokio::time::sleep(every).await;
            match compact(&mut store, plan, &mut compacted).await {
                Ok(did) => recorder.compactions += u64::from(did),
                Err(status) => recorder.failed(&status),
            }
        }
    };
    tokio::select! {
        () = compacting => {}
        // Nothing is ever sent on it: it ends when its sender is dropped.
        _ = over.changed() => {}
    }
    recorder
}

/// Compacts if something was written since the last time; says whether it did.
async fn compact(store: &mut Store, plan: &Plan, compacted: &mut i64) -> Result<bool, Status> {
    let now = store.get(Shapes::new(plan).key(0), false).await?.revision;
    if now == *compacted {
        return Ok(false);
    }
    store.compact(now).await?;
    *compacted = now;
    Ok(true)
}
