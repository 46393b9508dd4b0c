//! The one owner of the state machine: a thread that applies committed entries
//! in order and publishes what readers see. Those who wait are answered on their own threads, a group at a
//! time: one wake-up per group instead of one per write.

use crate::kv::{CommandLimits, TableError};
use crate::machine::{Budget, Machine, MachineError};
use crate::raft::{Entry, Payload, SnapshotMeta};
use crate::replica::error::InstallError;
use crate::replica::event::{Applied, Fact};
use crate::replica::waiters::{Answer, Batch, WriteWaiter};
use crate::replica::pending::Committed;
use crate::replica::published::Published;
use crate::replica::worker::Inbox;
use crate::storage::{VerifiedState, encode_members};
use crate::types::{Index, Term};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// The most entries that are applied before readers see them.
const GROUP_MAX: usize = 1024;
/// And about the most bytes of entries and of their replies.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// And about the most work of their commands, in the units of the limit on one: what one alone may do.
const GROUP_WORK_MAX: u64 = CommandLimits::FOUNDING.work;
/// The work of one step of garbage collection when there is nothing else to do: about two milliseconds.
const GARBAGE_IDLE: Budget = Budget { keys: 4096, blocks: 32 };
/// How long the queue must have been empty before such a step.
const GARBAGE_PAUSE: Duration = Duration::from_millis(5);
/// How long to wait for a job when there is nothing else to do.
const IDLE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) enum ApplyJob {
    Apply(Vec<Committed>),
    Install(Box<InstallJob>),
}

/// A verified state that replaces the current one.
#[derive(Debug)]
pub(crate) struct InstallJob {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: Box<dyn VerifiedState>,
    pub(crate) machine: Machine,
    /// The answer, sent when readers see the new state.
    pub(crate) answer: (Term, Index),
    pub(crate) reply: oneshot::Sender<Result<(Term, Index), InstallError>>,
}

pub struct Applier {
    machine: Machine,
    published: Arc<Published>,
    inbox: Inbox<ApplyJob>,
    facts: UnboundedSender<Fact>,
    /// Whether there may be garbage to collect.
    garbage: bool,
}

impl Applier {
    pub(crate) fn new(
        mut machine: Machine,
        published: Arc<Published>,
        inbox: Inbox<ApplyJob>,
        facts: UnboundedSender<Fact>,
    ) -> Self {
        machine.count_work_in(Arc::clone(inbox.busy.computed()));
        // What a compaction before the last restart made unreachable may still be there.
        Self { machine, published, inbox, facts, garbage: true }
    }

    /// Works until the queue is closed.
    pub(crate) fn run(mut self) -> Result<(), MachineError> {
        loop {
            let patience = if self.garbage { GARBAGE_PAUSE } else { IDLE };
            match self.inbox.queue.recv_timeout(patience) {
                Ok(job) => self.work(job)?,
                Err(mpsc::RecvTimeoutError::Timeout) => self.collect_garbage()?,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Does the waiting jobs, or else one step of garbage collection. False: there is nothing to do.
    pub fn poll(&mut self) -> Result<bool, MachineError> {
        match self.inbox.queue.try_recv() {
            Ok(job) => self.work(job)?,
            Err(_) if self.garbage => self.collect_garbage()?,
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Does a job, and those that can be done together with it.
    fn work(&mut self, job: ApplyJob) -> Result<(), MachineError> {
        let compacted = self.machine.view().compact_revision();
        let mut next = Some(job);
        while let Some(job) = next.take() {
            match job {
                ApplyJob::Apply(entries) => next = self.apply(entries)?,
                ApplyJob::Install(job) => {
                    self.garbage = true;
                    return self.install(*job);
                }
            }
        }
        self.garbage |= self.machine.view().compact_revision() != compacted;
        Ok(())
    }

    fn collect_garbage(&mut self) -> Result<(), MachineError> {
        if self.garbage {
            self.inbox.busy.begin();
            self.garbage = self.machine.collect_garbage(GARBAGE_IDLE)?;
            self.show(&mut Vec::new())?;
        }
        Ok(())
    }

    /// Applies the waiting entries as one group: one write to the table, one new view.
    /// Answers only after readers can see it. Returns a job that ends the group.
    fn apply(&mut self, entries: Vec<Committed>) -> Result<Option<ApplyJob>, MachineError> {
        let mut answers = Vec::with_capacity(entries.len());
        let mut next = None;
        let mut waiting = entries;
        let (mut count, mut bytes, mut shown_work) = (0, 0, self.machine.work_done());
        loop {
            for (entry, waiter) in waiting {
                let size = entry.size();
                bytes += size + self.apply_one(entry, waiter, &mut answers)?;
                self.published.sub_unapplied(size);
                count += 1;
                let work = self.machine.work_done() - shown_work;
                if count % GROUP_MAX == 0 || bytes >= GROUP_BYTES_MAX || work >= GROUP_WORK_MAX {
                    self.show(&mut answers)?;
                    (bytes, shown_work) = (0, self.machine.work_done());
                }
            }
            if count >= GROUP_MAX {
                break;
            }
            match self.inbox.queue.try_recv() {
                Ok(ApplyJob::Apply(more)) => waiting = more,
                Ok(job) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        self.show(&mut answers)?;
        if self.garbage {
            // Garbage collection keeps up under load: for each entry it does somewhat more than the entry can
            // leave. The next commit includes it.
            let budget = Budget { keys: 256 + 16 * count, blocks: 1 + count.min(GROUP_MAX) / 8 };
            self.inbox.busy.begin();
            self.machine.collect_garbage(budget)?;
            self.inbox.busy.end();
        }
        Ok(next)
    }

    /// Lets readers see what was applied, then has the waiters answered.
    fn show(&mut self, answers: &mut Vec<Answer>) -> Result<(), MachineError> {
        let wakes_readers = self.commit()?;
        let batch = Batch { answers: std::mem::take(answers), wakes_readers };
        let rest = self.published.clients_thread.take_its_share(batch);
        if rest.wakes_readers || !rest.answers.is_empty() {
            // A loop that has ended needs no facts; its end tells those who wait.
            let _ = self.facts.send(Fact::Applied(rest));
        }
        Ok(())
    }

    /// Answers whether readers may wait for what was applied.
    fn commit(&mut self) -> Result<bool, MachineError> {
        self.inbox.busy.begin();
        let view = self.machine.commit()?;
        self.inbox.busy.end();
        Ok(self.published.publish(view))
    }

    /// Returns about how many bytes it added to the answers.
    fn apply_one(
        &mut self,
        entry: Entry,
        waiter: Option<WriteWaiter>,
        answers: &mut Vec<Answer>,
    ) -> Result<usize, MachineError> {
        // Per entry: the watchdog's clock is meant for a disk that hangs, not for much work.
        self.inbox.busy.begin();
        let begun = Instant::now();
        let added = self.apply_timed(entry, waiter, answers)?;
        self.published.applied_one_in(begun.elapsed());
        Ok(added)
    }

    fn apply_timed(
        &mut self,
        entry: Entry,
        waiter: Option<WriteWaiter>,
        answers: &mut Vec<Answer>,
    ) -> Result<usize, MachineError> {
        match entry.payload {
            Payload::Noop => self.machine.apply_noop(entry.id),
            Payload::Members(members) => self.machine.apply_members(entry.id, encode_members(&members)),
            Payload::Command(command) => {
                let answer = self.machine.apply(entry.id, &command)?;
                if let Some(waiter) = waiter {
                    let size = answer.result.size();
                    answers.push(Answer::Write(waiter, Ok(Applied { id: entry.id, reply: answer })));
                    return Ok(size);
                }
            }
        }
        Ok(0)
    }

    fn install(
        &mut self,
        InstallJob { meta, state, machine, answer, reply }: InstallJob,
    ) -> Result<(), MachineError> {
        self.inbox.busy.begin();
        state
            .activate()
            .map_err(|error| TableError(format!("the received state cannot be put in place: {error}")))?;
        self.inbox.busy.end();
        self.machine = machine;
        self.machine.count_work_in(Arc::clone(self.inbox.busy.computed()));
        assert_eq!(self.machine.applied(), meta.last, "the state is the one that was asked for");
        self.published.replace(self.machine.view(), self.machine.saver());
        let _ = self.facts.send(Fact::Installed(meta));
        let _ = reply.send(Ok(answer)); // The sender may have gone.
        Ok(())
    }
}
