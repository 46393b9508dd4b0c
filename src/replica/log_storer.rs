//! Moves the log from where it is durable to where it can be read: a separate thread, since it waits for the
//! disk, and nobody waits for it.

use crate::replica::busy::Busy;
use crate::replica::event::Fact;
use crate::storage::{LogStorer as Storer, StorageError};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

pub struct LogStorer {
    storer: Box<dyn Storer>,
    busy: Arc<Busy>,
    facts: UnboundedSender<Fact>,
}

impl LogStorer {
    pub(crate) fn new(storer: Box<dyn Storer>, busy: Arc<Busy>, facts: UnboundedSender<Fact>) -> Self {
        Self { storer, busy, facts }
    }

    /// Works until the log's writer has ended.
    pub(crate) fn run(mut self) -> Result<(), StorageError> {
        while self.storer.wait() {
            while self.poll()? {}
        }
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
