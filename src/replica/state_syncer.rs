//! Makes the state durable from time to time, beside the applier, so that the
//! log that it covers can be forgotten. No write waits for it: what was
//! acknowledged is durable in the log.

use crate::replica::event::Fact;
use crate::replica::fatal::Fatal;
use crate::replica::published::Published;
use crate::storage::StateStore;
use crate::types::Index;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// The driver's side of the thread. Dropping it ends the thread after a last sync.
#[derive(Debug)]
pub(crate) struct StateSyncer {
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl StateSyncer {
    pub(crate) fn start(
        states: Arc<StateStore>,
        published: Arc<Published>,
        interval: Duration,
        facts: UnboundedSender<Fact>,
        fatal: Fatal,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("state-syncer".into()).spawn(move || {
            let mut durable = Index(0);
            loop {
                let last = matches!(stopped.recv_timeout(interval), Err(mpsc::RecvTimeoutError::Disconnected));
                match sync(&states, &published, durable) {
                    Ok(index) => durable = index,
                    Err(error) => return fatal.fail(format!("the state cannot be made durable: {error}")),
                }
                let _ = facts.send(Fact::StateDurable(durable));
                if last {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Syncs once more and ends.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the state syncer panicked");
        }
    }
}

fn sync(states: &StateStore, published: &Published, durable: Index) -> Result<Index, crate::kv::TableError> {
    // The order matters: what this view shows was written to its table before
    // it was published. A table that is replaced meanwhile is durable already.
    let applied = published.view().applied().index;
    if applied > durable {
        states.table().sync()?;
    }
    match states.size_on_disk() {
        Ok(bytes) => published.set_disk_bytes(bytes),
        Err(error) => tracing::warn!(%error, "the size of the data directory is not known"),
    }
    Ok(applied)
}
