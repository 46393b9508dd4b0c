//! The one owner of the state machine: a thread that applies committed entries
//! in order, publishes what readers see, and answers who waited.

use crate::kv::{self, Machine};
use crate::raft::{Entry, Payload, SnapshotMeta};
use crate::replica::event::{Fact, WriteReply};
use crate::replica::fatal::Fatal;
use crate::replica::handle::Applied;
use crate::replica::pending::Committed;
use crate::replica::published::Published;
use crate::storage::{StateStore, VerifiedState, encode_members};
use std::sync::{Arc, mpsc};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// The most entries that are applied before readers see them.
const GROUP_MAX: usize = 1024;
/// How many keys one step of garbage collection looks at, between two groups.
const GARBAGE_KEYS: usize = 512;

/// What the applier does, in order.
#[derive(Debug)]
pub(crate) enum ApplyJob {
    /// Apply these.
    Apply(Vec<Committed>),
    /// Replace the whole state.
    Install { meta: SnapshotMeta, state: VerifiedState, done: oneshot::Sender<Result<(), String>> },
}

/// The driver's side of the thread. Dropping it ends the thread once its work is done.
#[derive(Debug)]
pub(crate) struct Applier {
    jobs: mpsc::Sender<ApplyJob>,
    thread: std::thread::JoinHandle<()>,
}

impl Applier {
    pub(crate) fn start(
        machine: Machine,
        states: Arc<StateStore>,
        published: Arc<Published>,
        facts: UnboundedSender<Fact>,
        fatal: Fatal,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let worker = Worker { machine, states, published, queue, facts };
        let thread = std::thread::Builder::new().name("applier".into()).spawn(move || {
            if let Err(error) = worker.run() {
                fatal.fail(format!("the state cannot be kept: {error}"));
            }
        })?;
        Ok(Self { jobs, thread })
    }

    /// Queues a job. The queue holds no more than the log's tail in memory, which is bounded.
    pub(crate) fn submit(&self, job: ApplyJob) {
        // The thread ends early only when it has failed, and then the node ends.
        let _ = self.jobs.send(job);
    }

    /// Lets the thread finish.
    pub(crate) fn stop(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the applier panicked");
        }
    }
}

struct Worker {
    machine: Machine,
    states: Arc<StateStore>,
    published: Arc<Published>,
    queue: mpsc::Receiver<ApplyJob>,
    facts: UnboundedSender<Fact>,
}

impl Worker {
    fn run(mut self) -> Result<(), kv::TableError> {
        let mut garbage = true;
        loop {
            // Garbage is collected in small steps while nothing else waits.
            let job = if garbage {
                match self.queue.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::TryRecvError::Empty) => None,
                    Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                }
            } else {
                match self.queue.recv() {
                    Ok(job) => Some(job),
                    Err(_) => return Ok(()),
                }
            };
            match job {
                None => garbage = self.collect_garbage()?,
                Some(ApplyJob::Apply(entries)) => {
                    let compacted = self.machine.view().compact_revision();
                    let next = self.apply(entries)?;
                    garbage |= self.machine.view().compact_revision() != compacted;
                    if let Some(ApplyJob::Install { meta, state, done }) = next {
                        self.install(meta, state, done)?;
                        garbage = true;
                    }
                }
                Some(ApplyJob::Install { meta, state, done }) => {
                    self.install(meta, state, done)?;
                    garbage = true;
                }
            }
        }
    }

    fn collect_garbage(&mut self) -> Result<bool, kv::TableError> {
        let more = self.machine.collect_garbage(GARBAGE_KEYS)?;
        let view = self.machine.commit()?;
        self.published.publish(view);
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
            count += waiting.len();
            for (entry, reply) in waiting {
                self.apply_one(entry, reply, &mut replies)?;
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
        let view = self.machine.commit()?;
        self.published.publish(view);
        for (reply, applied) in replies {
            // Whoever waited may have given up; the write is done all the same.
            let _ = reply.send(Ok(applied));
        }
        Ok(next)
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
        meta: SnapshotMeta,
        state: VerifiedState,
        done: oneshot::Sender<Result<(), String>>,
    ) -> Result<(), kv::TableError> {
        let table = state
            .activate(&self.states)
            .map_err(|error| kv::TableError(format!("the received state cannot be put in place: {error}")))?;
        self.machine = Machine::open(table)?;
        assert_eq!(self.machine.applied(), meta.last, "the state is the one that was asked for");
        self.published.publish(self.machine.view());
        let _ = self.facts.send(Fact::Installed(meta));
        let _ = done.send(Ok(()));
        Ok(())
    }
}

