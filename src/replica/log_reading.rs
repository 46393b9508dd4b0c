//! Reads entries that are no longer in memory: a separate thread, since it waits for the disk, and nothing
//! else waits for it.
//!
//! The core asks for one bounded chunk at a time for each follower, so the queue holds no more than there are
//! followers.

use crate::raft::LogRead;
use crate::replica::event::Fact;
use crate::replica::worker::Bench;
use crate::storage::{LogReader, StorageError};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

pub struct LogReading {
    reader: Arc<dyn LogReader>,
    bench: Bench<LogRead>,
    facts: UnboundedSender<Fact>,
}

impl LogReading {
    pub(crate) fn new(
        reader: Arc<dyn LogReader>,
        bench: Bench<LogRead>,
        facts: UnboundedSender<Fact>,
    ) -> Self {
        Self { reader, bench, facts }
    }

    /// Works until nobody has jobs any more.
    pub(crate) fn run(self) -> Result<(), StorageError> {
        while let Ok(read) = self.bench.queue.recv() {
            self.work(read)?;
        }
        Ok(())
    }

    /// Does one job. False: there is none.
    pub fn poll(&self) -> Result<bool, StorageError> {
        let Ok(read) = self.bench.queue.try_recv() else { return Ok(false) };
        self.work(read).map(|()| true)
    }

    fn work(&self, read: LogRead) -> Result<(), StorageError> {
        self.bench.busy.begin();
        let slice = self.reader.read(read.from, read.bytes_max)?;
        self.bench.busy.end();
        // The driver ends before its workers; then nobody waits for the result.
        let _ = self.facts.send(Fact::LogRead(read, slice));
        Ok(())
    }
}
