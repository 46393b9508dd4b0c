//! The one owner of the state machine: a thread that applies committed entries
//! in order, publishes what readers see, and answers who waited.

use crate::kv::{self, Machine};
use crate::raft::{Entry, Payload, SnapshotMeta};
use crate::replica::busy::Busy;
use crate::replica::event::{Fact, WriteReply};
use crate::replica::fatal::Fatal;
use crate::replica::handle::Applied;
use crate::replica::pending::Committed;
use crate::replica::published::Published;
use crate::replica::worker::Worker;
use crate::storage::{StateStore, VerifiedState, encode_members};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// The most entries that are applied before readers see them.
const GROUP_MAX: usize = 1024;
/// How many keys one step of garbage collection looks at…
const GARBAGE_KEYS: usize = 2048;
/// …and how long nothing else must have come in before it.
const GARBAGE_PAUSE: Duration = Duration::from_millis(5);
/// How long to wait for a job when there is nothing else to do.
const IDLE: Duration = Duration::from_secs(3600);

/// What the applier does, in order.
#[derive(Debug)]
pub(crate) enum ApplyJob {
    /// Apply these.
    Apply(Vec<Committed>),
    /// Replace the whole state.
    Install(Box<InstallJob>),
}

/// A verified state that takes the place of the present one.
#[derive(Debug)]
pub(crate) struct InstallJob {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: VerifiedState,
    pub(crate) machine: Machine,
    /// Told when readers see it.
    pub(crate) done: oneshot::Sender<()>,
}

/// Starts the thread.
pub(crate) fn start(
    machine: Machine,
    states: Arc<StateStore>,
    published: Arc<Published>,
    facts: UnboundedSender<Fact>,
    fatal: Fatal,
) -> std::io::Result<Worker<ApplyJob>> {
    Worker::start("applier", "the state cannot be kept", fatal, move |queue, busy| {
        Applier { machine, states, published, busy, queue, facts }.run()
    })
}

struct Applier {
    machine: Machine,
    states: Arc<StateStore>,
    published: Arc<Published>,
    busy: Arc<Busy>,
    queue: mpsc::Receiver<ApplyJob>,
    facts: UnboundedSender<Fact>,
}

impl Applier {
    fn run(mut self) -> Result<(), kv::TableError> {
        // What a compaction before the last restart made unreachable may still be there.
        let mut garbage = true;
        loop {
            let patience = if garbage { GARBAGE_PAUSE } else { IDLE };
            match self.queue.recv_timeout(patience) {
                Ok(job) => garbage |= self.take(job)?,
                Err(mpsc::RecvTimeoutError::Timeout) if garbage => garbage = self.collect_garbage()?,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Does a job, and those that can be done together with it. Answers
    /// whether there may be new garbage.
    fn take(&mut self, job: ApplyJob) -> Result<bool, kv::TableError> {
        let compacted = self.machine.view().compact_revision();
        let mut next = Some(job);
        while let Some(job) = next.take() {
            match job {
                ApplyJob::Apply(entries) => next = self.apply(entries)?,
                ApplyJob::Install(job) => {
                    self.install(*job)?;
                    return Ok(true);
                }
            }
        }
        Ok(self.machine.view().compact_revision() != compacted)
    }

    fn collect_garbage(&mut self) -> Result<bool, kv::TableError> {
        let more = self.machine.collect_garbage(GARBAGE_KEYS)?;
        self.commit()?;
        Ok(more)
    }

    /// Applies what waits as one group: one write to the table, one new view.
    /// Answers only after readers can see it. Returns a job that ends the group.
    fn apply(&mut self, entries: Vec<Committed>) -> Result<Option<ApplyJob>, kv::TableError> {
        let mut replies = Vec::with_capacity(entries.len());
        let mut next = None;
        let mut waiting = entries;
        let mut count = 0;
        loop {
            for (entry, reply) in waiting {
                // Per entry: the clock is for a disk that hangs, not for much work.
                self.busy.begin();
                self.apply_one(entry, reply, &mut replies)?;
                count += 1;
                if count % GROUP_MAX == 0 {
                    self.show(&mut replies)?;
                }
            }
            if count >= GROUP_MAX {
                break;
            }
            match self.queue.try_recv() {
                Ok(ApplyJob::Apply(more)) => waiting = more,
                Ok(job) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        self.show(&mut replies)?;
        Ok(next)
    }

    /// Lets readers see what was applied, then answers who waited for it.
    fn show(&mut self, replies: &mut Vec<(WriteReply, Applied)>) -> Result<(), kv::TableError> {
        self.commit()?;
        for (reply, applied) in replies.drain(..) {
            // Whoever waited may have given up; the write is done all the same.
            let _ = reply.send(Ok(applied));
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), kv::TableError> {
        self.busy.begin();
        let view = self.machine.commit()?;
        self.busy.end();
        self.published.publish(view);
        Ok(())
    }

    fn apply_one(
        &mut self,
        entry: Entry,
        reply: Option<WriteReply>,
        replies: &mut Vec<(WriteReply, Applied)>,
    ) -> Result<(), kv::TableError> {
        match entry.payload {
            Payload::Noop => self.machine.apply_noop(entry.id),
            Payload::Members(members) => self.machine.apply_members(entry.id, encode_members(&members)),
            Payload::Command(command) => {
                let answer = self.machine.apply(entry.id, &command)?;
                if let Some(reply) = reply {
                    replies.push((reply, Applied { id: entry.id, reply: answer }));
                }
            }
        }
        Ok(())
    }

    fn install(
        &mut self,
        InstallJob { meta, state, machine, done }: InstallJob,
    ) -> Result<(), kv::TableError> {
        self.busy.begin();
        state
            .activate(&self.states)
            .map_err(|error| kv::TableError(format!("the received state cannot be put in place: {error}")))?;
        self.busy.end();
        self.machine = machine;
        assert_eq!(self.machine.applied(), meta.last, "the state is the one that was asked for");
        self.published.publish(self.machine.view());
        let _ = self.facts.send(Fact::Installed(meta));
        let _ = done.send(());
        Ok(())
    }
}
