//! Makes the state durable from time to time, beside the applier, so that the
//! log that it covers can be forgotten. No write waits for it: what was
//! acknowledged is durable in the log.

use crate::kv::TableError;
use crate::replica::busy::Busy;
use crate::replica::event::Fact;
use crate::replica::fatal::Fatal;
use crate::replica::published::{Published, Room};
use crate::storage::StateStore;
use crate::types::Index;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// The driver's side of the thread. Dropping it ends the thread after a last sync.
#[derive(Debug)]
pub(crate) struct StateSyncer {
    stop: mpsc::Sender<()>,
    busy: Arc<Busy>,
    thread: std::thread::JoinHandle<()>,
}

/// How often the room on the disk is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

impl StateSyncer {
    pub(crate) fn start(
        states: Arc<StateStore>,
        published: Arc<Published>,
        interval: Duration,
        disk_reserve: u64,
        facts: UnboundedSender<Fact>,
        fatal: Fatal,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let busy = Arc::new(Busy::default());
        let durable = Index(0);
        let worker = Worker { states, published, interval, disk_reserve, busy: busy.clone(), facts, durable };
        let thread = std::thread::Builder::new().name("state-syncer".into()).spawn(move || {
            fatal.guard("the state cannot be made durable", || worker.run(&stopped));
        })?;
        Ok(Self { stop, busy, thread })
    }

    /// For how long the thread has waited for the disk.
    pub(crate) fn busy(&self) -> Duration {
        self.busy.elapsed()
    }

    /// For the watchdog.
    pub(crate) fn clock(&self) -> Arc<Busy> {
        self.busy.clone()
    }

    /// Syncs once more and ends.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the state syncer panicked");
        }
    }
}

struct Worker {
    states: Arc<StateStore>,
    published: Arc<Published>,
    interval: Duration,
    disk_reserve: u64,
    busy: Arc<Busy>,
    facts: UnboundedSender<Fact>,
    durable: Index,
}

impl Worker {
    fn run(mut self, stopped: &mpsc::Receiver<()>) -> Result<(), TableError> {
        let mut last_sync = Instant::now();
        loop {
            let pause = LOOK_INTERVAL.min(self.interval);
            let last = matches!(stopped.recv_timeout(pause), Err(mpsc::RecvTimeoutError::Disconnected));
            self.busy.begin();
            self.look_at_room();
            if last || last_sync.elapsed() >= self.interval {
                self.sync()?;
                last_sync = Instant::now();
            }
            self.busy.end();
            if last {
                return Ok(());
            }
        }
    }

    fn sync(&mut self) -> Result<(), TableError> {
        // The order matters: what this view shows was written to its table before
        // it was published. A table that is replaced meanwhile is durable already.
        let applied = self.published.view().applied().index;
        let table = self.states.table();
        if applied > self.durable {
            table.sync()?;
            self.durable = applied;
            // The driver ends before its workers; then nobody compacts.
            let _ = self.facts.send(Fact::StateDurable(applied));
        }
        self.published.set_state_bytes(table.size_on_disk()?);
        Ok(())
    }

    /// A disk that is really full is the end of the engine, so writes are
    /// refused while there is room left, and taken again when there is more.
    fn look_at_room(&self) {
        match self.states.free_bytes() {
            Ok(free) => {
                let reserve = self.disk_reserve;
                let room = match free {
                    free if free >= reserve => Room::Enough,
                    free if free >= reserve / 2 => Room::Low,
                    _ => Room::Gone,
                };
                if self.published.set_room(room) {
                    match room {
                        Room::Enough => {
                            tracing::info!(free, reserve, "the disk has room again: writes are taken")
                        }
                        Room::Low => tracing::error!(
                            free,
                            reserve,
                            "the disk is nearly full: a leader here refuses writes, reads go on"
                        ),
                        Room::Gone => tracing::error!(
                            free,
                            reserve,
                            "the disk is nearly full: no log entries are taken"
                        ),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the room on the disk is not known"),
        }
    }
}
