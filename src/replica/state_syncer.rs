//! Makes the state durable from time to time, concurrently with the applier, so that the log that it covers
//! can be compacted. No write waits for it: acknowledged writes are durable in the log.

use crate::kv::TableError;
use crate::replica::event::Fact;
use crate::replica::published::{Published, Room};
use crate::replica::worker::Inbox;
use crate::storage::StateStore;
use crate::types::Index;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// How often the free space on the disk is checked.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// The pause between two steps of giving back disk space: a few times as long as a step.
const VACUUM_PAUSE: Duration = Duration::from_millis(60);

/// It gets no jobs; when its queue is closed it ends, after a last sync.
#[derive(Debug)]
pub(crate) enum NoJob {}

pub struct StateSyncer {
    pub(crate) states: Arc<dyn StateStore>,
    pub(crate) published: Arc<Published>,
    pub(crate) interval: Duration,
    pub(crate) disk_reserve: u64,
    pub(crate) inbox: Inbox<NoJob>,
    pub(crate) facts: UnboundedSender<Fact>,
    /// How far the state is durable.
    pub(crate) durable: Index,
    /// The room on the disk at the last look.
    pub(crate) free: u64,
    /// Whether there is more disk space to give back soon.
    pub(crate) vacuums: bool,
}

impl StateSyncer {
    /// Works until its queue ends.
    pub(crate) fn run(mut self) -> Result<(), TableError> {
        let mut last_sync = Instant::now();
        loop {
            let pause = if self.vacuums { VACUUM_PAUSE } else { LOOK_INTERVAL }.min(self.interval);
            let last =
                matches!(self.inbox.queue.recv_timeout(pause), Err(mpsc::RecvTimeoutError::Disconnected));
            self.inbox.busy.begin();
            self.look_at_room();
            let is_due = last || last_sync.elapsed() >= self.interval;
            if is_due {
                self.sync()?;
                last_sync = Instant::now();
            }
            // Not at the end: a move that began there would be lost.
            if !last && (is_due || self.vacuums) {
                self.vacuum()?;
            }
            self.inbox.busy.end();
            if last {
                return Ok(());
            }
        }
    }

    /// Makes the state durable as far as it is published.
    pub fn sync(&mut self) -> Result<(), TableError> {
        // The order matters: what was saved is in this table. If the table was replaced meanwhile, the new
        // one is durable already.
        let applied = self.published.saver().save()?.index;
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

    /// Gives back disk space that the state takes without need, in small steps. While it does, it may use three quarters
    /// of what is kept free: deletes and compactions may have used half, and it is what they are waiting for.
    pub fn vacuum(&mut self) -> Result<(), TableError> {
        let spare = self.free.saturating_sub(self.disk_reserve / 4);
        let step = self.states.vacuum(self.published.saver().bytes(), spare);
        self.vacuums = step.map_err(|error| TableError(error.to_string()))?;
        Ok(())
    }

    /// The engine does not survive a disk that is really full, so writes are refused while there is still
    /// some room, and accepted again when there is more.
    pub fn look_at_room(&mut self) {
        match self.states.free_bytes() {
            Ok(free) => self.free = free,
            Err(error) => tracing::warn!(%error, "the room on the disk is not known"),
        }
        let (free, reserve) = (self.free, self.disk_reserve);
        match self.published.looked(free, reserve) {
            None => {}
            Some(Room::Enough) => {
                tracing::info!(free, reserve, "the disk has room again: writes are accepted")
            }
            Some(Room::Low) => tracing::error!(
                free,
                reserve,
                "the disk is nearly full: a leader here takes only deletes and compactions, reads go on"
            ),
            Some(Room::Gone) => {
                tracing::error!(free, reserve, "the disk is nearly full: no log entries are accepted");
            }
        }
    }
}
