//! Moves the log from where it is durable to where it can be read: a separate thread, since it waits for the
//! disk, and nobody waits for it.

use crate::replica::busy::Busy;
use crate::replica::event::Fact;
use crate::replica::published::Published;
use crate::storage::{LogStorer as Storer, StorageError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// How often the log's size is measured while it changes.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

pub struct LogStorer {
    storer: Box<dyn Storer>,
    busy: Arc<Busy>,
    published: Arc<Published>,
    facts: UnboundedSender<Fact>,
}

impl LogStorer {
    pub(crate) fn new(
        storer: Box<dyn Storer>,
        busy: Arc<Busy>,
        published: Arc<Published>,
        facts: UnboundedSender<Fact>,
    ) -> Self {
        Self { storer, busy, published, facts }
    }

    /// Works until the log's writer has ended.
    pub(crate) fn run(mut self) -> Result<(), StorageError> {
        self.measure()?;
        let mut measured = Instant::now();
        while self.storer.wait() {
            while self.poll()? {
                if measured.elapsed() >= MEASURE_INTERVAL {
                    self.measure()?;
                    measured = Instant::now();
                }
            }
        }
        Ok(())
    }

    fn measure(&self) -> Result<(), StorageError> {
        self.busy.begin();
        self.published.set_log_bytes(self.storer.size_on_disk()?);
        self.busy.end();
        Ok(())
    }

    /// Does a bounded step. False: there was nothing to do.
    pub fn poll(&mut self) -> Result<bool, StorageError> {
        self.busy.begin();
        let stored = self.storer.step()?;
        self.busy.end();
        if let Some((mark, last)) = stored {
            // The driver ends before its workers; then nobody waits for the report.
            let _ = self.facts.send(Fact::Stored(mark, last));
        }
        Ok(stored.is_some())
    }
}
