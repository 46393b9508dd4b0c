//! The only owner of the log on disk: a separate thread, since it waits for the disk.

use crate::raft::Persist;
use crate::replica::event::Fact;
use crate::replica::worker::Inbox;
use crate::storage::{LogStore, StorageError};
use crate::types::EntryId;
use tokio::sync::mpsc::UnboundedSender;

#[derive(Debug)]
pub(crate) enum LogJob {
    Write(Persist),
    Compact(EntryId),
}

pub struct LogWriter {
    log: Box<dyn LogStore>,
    inbox: Inbox<LogJob>,
    /// A job that ended the last group.
    next: Option<LogJob>,
    write_bytes: usize,
    facts: UnboundedSender<Fact>,
}

impl LogWriter {
    pub(crate) fn new(
        log: Box<dyn LogStore>,
        inbox: Inbox<LogJob>,
        write_bytes: usize,
        facts: UnboundedSender<Fact>,
    ) -> Self {
        Self { log, inbox, next: None, write_bytes, facts }
    }

    /// Works until nobody has jobs any more.
    pub(crate) fn run(mut self) -> Result<(), StorageError> {
        while let Some(job) = self.next.take().or_else(|| self.inbox.queue.recv().ok()) {
            self.work(job)?;
        }
        Ok(())
    }

    /// Does one job, or one group of them. False: there is none.
    pub fn poll(&mut self) -> Result<bool, StorageError> {
        let Some(job) = self.next.take().or_else(|| self.inbox.queue.try_recv().ok()) else {
            return Ok(false);
        };
        self.work(job).map(|()| true)
    }

    fn work(&mut self, job: LogJob) -> Result<(), StorageError> {
        self.inbox.busy.begin();
        match job {
            LogJob::Compact(through) => self.log.compact(through)?,
            LogJob::Write(first) => self.next = self.write(first)?,
        }
        self.inbox.busy.end();
        Ok(())
    }

    /// Group commit: whatever has queued up while the last write was under way
    /// becomes durable with one fsync. Returns a job that does not belong to the group.
    fn write(&mut self, first: Persist) -> Result<Option<LogJob>, StorageError> {
        let mut bytes = size(&first);
        let mut group = vec![first];
        let mut next = None;
        while bytes < self.write_bytes {
            match self.inbox.queue.try_recv() {
                Ok(LogJob::Write(job)) => {
                    bytes += size(&job);
                    group.push(job);
                }
                Ok(job @ LogJob::Compact(_)) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        self.log.write(&group)?;
        let last = group.last().expect("a group is never empty");
        // The driver ends before its workers; then nobody waits for the mark.
        let _ = self.facts.send(Fact::Persisted(last.mark));
        Ok(next)
    }
}

fn size(job: &Persist) -> usize {
    job.entries.iter().map(crate::raft::Entry::size).sum()
}
