//! Reads entries that are no longer in memory: a separate thread, since it waits for the disk, and nothing
//! else waits for it.
//!
//! The core asks for one bounded chunk at a time for each follower, so the queue holds no more than there are
//! followers.

use crate::raft::LogRead;
use crate::replica::event::Fact;
use crate::replica::worker::Inbox;
use crate::storage::{LogReader, StorageError};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

pub struct LogReading {
    reader: Arc<dyn LogReader>,
    inbox: Inbox<LogRead>,
    facts: UnboundedSender<Fact>,
}

impl LogReading {
    pub(crate) fn new(
        reader: Arc<dyn LogReader>,
        inbox: Inbox<LogRead>,
        facts: UnboundedSender<Fact>,
    ) -> Self {
        Self { reader, inbox, facts }
    }

    /// Works until nobody has jobs any more.
    pub(crate) fn run(self) -> Result<(), StorageError> {
        while let Ok(read) = self.inbox.queue.recv() {
            self.work(read)?;
        }
        Ok(())
    }

    /// Does one job. False: there is none.
    pub fn poll(&self) -> Result<bool, StorageError> {
        let Ok(read) = self.inbox.queue.try_recv() else { return Ok(false) };
        self.work(read).map(|()| true)
    }

    fn work(&self, read: LogRead) -> Result<(), StorageError> {
        self.inbox.busy.begin();
        let slice = self.reader.read(read.from, read.bytes_max)?;
        self.inbox.busy.end();
        // The driver ends before its workers; then nobody waits for the result.
        let _ = self.facts.send(Fact::LogRead(read, slice));
        Ok(())
    }
}
