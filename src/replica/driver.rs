//! The only loop: it owns the node, feeds it what happened, and carries out
//! what it asks for, once per turn.
//!
//! A turn takes everything that is queued. What clients propose in a turn becomes one write to the log and
//! one message per follower: the busier the node, the larger the groups (group commit).

use crate::machine::Command;
use crate::member::Member;
use crate::raft::{
    Effects, Entry, LogRead, Message, Node, ProposeError, ReadOutcome, ReadRefused, ReadToken, RoleName,
};
use crate::replica::advertise::advertise;
use crate::replica::applier::{ApplyJob, InstallJob};
use crate::replica::busy::Busy;
use crate::replica::disk_pace::DiskPace;
use crate::replica::error::{AdvertiseError, InstallError, ReadError, WriteError};
use crate::replica::event::{Fact, Install, PeerMessage, Request, Write};
use crate::replica::log_retention::LogRetention;
use crate::replica::log_writer::LogJob;
use crate::replica::options::ReplicaOptions;
use crate::replica::pending::Pending;
use crate::replica::published::Published;
use crate::replica::snapshot;
use crate::replica::state_syncer::NoJob;
use crate::replica::status::Status;
use crate::replica::transfer::Transfers;
use crate::replica::transport::Transport;
use crate::replica::waiters::{Answer, ReadWaiter};
use crate::replica::worker::Worker;
use crate::types::{ClusterId, EntryId, Index};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The most of each kind that one turn takes, so that turns stay short.
const TURN_MAX: usize = 4096;

/// The queues that feed the loop.
pub(crate) struct Inbox {
    pub(crate) facts: mpsc::UnboundedReceiver<Fact>,
    pub(crate) messages: mpsc::Receiver<PeerMessage>,
    pub(crate) requests: mpsc::Receiver<Request>,
}

pub(crate) struct Workers {
    pub(crate) log_writer: Worker<LogJob>,
    pub(crate) log_storer: Worker<NoJob>,
    pub(crate) log_reading: Worker<LogRead>,
    pub(crate) applier: Worker<ApplyJob>,
    pub(crate) state_syncer: Worker<NoJob>,
}

impl Workers {
    /// For the watchdog.
    pub(crate) fn clocks(&self) -> Vec<Arc<Busy>> {
        vec![
            self.log_writer.clock(),
            self.log_storer.clock(),
            self.log_reading.clock(),
            self.applier.clock(),
            self.state_syncer.clock(),
        ]
    }

    /// How long the disk has kept one of them waiting.
    fn disk_silence(&self) -> Duration {
        self.log_writer.busy().max(self.applier.busy()).max(self.state_syncer.busy())
    }
}

/// However the loop ends, it is not watched any more.
pub(crate) struct Running(pub(crate) Arc<Published>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

pub struct Driver {
    pub(crate) running: Running,
    pub(crate) inbox: Inbox,
    pub(crate) node: Node,
    pub(crate) cluster: ClusterId,
    pub(crate) options: ReplicaOptions,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) workers: Workers,
    pub(crate) published: Arc<Published>,
    pub(crate) pending: Pending,
    pub(crate) reads: BTreeMap<ReadToken, ReadWaiter>,
    pub(crate) next_token: u64,
    pub(crate) transfers: Transfers,
    pub(crate) install: Option<Install>,
    pub(crate) retention: LogRetention,
    pub(crate) disk_pace: DiskPace,
    /// Commands of this turn, to be proposed together.
    pub(crate) batch: Vec<Write>,
    /// Answers of this turn, to be given together.
    pub(crate) answers: Vec<Answer>,
    pub(crate) state_durable: Index,
    pub(crate) stopped: Option<oneshot::Sender<()>>,
}

impl Driver {
    /// Runs until a request to stop.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.options.tick);
        // After the process was paused, time has passed for the others, but not for us: making up for the
        // missed ticks would start needless elections.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.stopped.is_none() {
            tokio::select! {
                biased;
                Some(fact) = self.inbox.facts.recv() => self.take_fact(fact),
                _ = ticks.tick() => self.tick(),
                Some(PeerMessage { from, message }) = self.inbox.messages.recv() => self.node.step(from, message),
                Some(request) = self.inbox.requests.recv() => self.take_request(request),
            }
            self.turn(Instant::now());
        }
        self.end().await;
    }

    /// One turn: takes everything that is queued and carries out the effects.
    pub fn turn(&mut self, now: Instant) {
        let has_room =
            self.published.has_room_for_entries() && self.disk_pace.takes_entries(self.published.look());
        self.node.set_full(!has_room || self.is_applier_behind());
        self.drain();
        self.propose(now);
        let effects = self.node.take_effects();
        self.carry_out(effects);
        self.give_answers();
        self.transfers.watch(&self.node);
        self.published.publish_status(status(&self.node));
    }

    /// A unit of logical time passed. A [`turn`](Self::turn) must follow.
    pub fn tick(&mut self) {
        self.node.tick();
        // Who held the log back may be gone, and nothing else happen for long.
        self.compact();
        self.published.turned(self.workers.disk_silence());
    }

    /// The node that it drives.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Takes what is queued.
    fn drain(&mut self) {
        while let Ok(fact) = self.inbox.facts.try_recv() {
            self.take_fact(fact);
        }
        for _ in 0..TURN_MAX {
            let Ok(PeerMessage { from, message }) = self.inbox.messages.try_recv() else { break };
            self.node.step(from, message);
        }
        for _ in 0..TURN_MAX {
            let Ok(request) = self.inbox.requests.try_recv() else { break };
            self.take_request(request);
        }
    }

    fn take_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Persisted(mark) => self.node.persisted(mark),
            Fact::Stored(mark, last) => self.node.stored(mark, last),
            Fact::LogRead(read, slice) => self.node.log_read(read, slice),
            Fact::Applied(batch) => {
                if batch.wakes_readers {
                    self.published.wake_readers();
                }
                self.answers.extend(batch.answers);
            }
            Fact::StateDurable(index) => {
                self.state_durable = self.state_durable.max(index);
                self.compact();
            }
            Fact::Installed(meta) => {
                self.node.snapshot_installed(&meta);
                self.published.wake_readers();
                self.pending.jump(meta.last.index);
                self.state_durable = self.state_durable.max(meta.last.index);
            }
            Fact::PeerLost(peer) => self.node.unreachable(peer),
            Fact::SnapshotSent(peer, applied) => {
                if applied.is_none() {
                    self.retention.snapshot_failed(peer);
                }
                self.node.snapshot_sent(peer, applied);
            }
        }
    }

    fn take_request(&mut self, request: Request) {
        match request {
            Request::Write(write) => self.batch.push(write),
            Request::Read(waiter) => self.read(waiter),
            Request::Transfer { to, reply } => self.transfers.begin(&mut self.node, to, reply),
            Request::Advertise { member, reply } => {
                let _ = reply.send(self.advertise(&member)); // Whoever asked may have gone.
            }
            Request::Install(install) => self.offer_snapshot(*install),
            Request::Stop(done) => self.stopped = Some(done),
        }
    }

    fn read(&mut self, waiter: ReadWaiter) {
        let token = ReadToken(self.next_token);
        self.next_token += 1;
        match self.node.read(token) {
            Ok(()) => {
                self.reads.insert(token, waiter);
            }
            Err(refused) => {
                let error = match refused {
                    ReadRefused::NotLeader(leader) => ReadError::NotLeader { leader },
                    ReadRefused::TooMany => ReadError::Overloaded,
                };
                self.answers.push(Answer::Read(waiter, Err(error)));
            }
        }
    }

    /// A snapshot has arrived: the node says whether it wants it.
    fn offer_snapshot(&mut self, install: Install) {
        if self.install.is_some() {
            let _ = install.reply.send(Err(InstallError::Busy(self.published.applied())));
            return;
        }
        let message = Message::InstallSnapshot { term: install.term, meta: install.meta.clone() };
        let from = install.from;
        self.install = Some(install);
        self.node.step(from, message);
    }

    /// Proposes the turn's commands.
    fn propose(&mut self, now: Instant) {
        if self.batch.is_empty() {
            return;
        }
        let unapplied = self.node.commit().0.saturating_sub(self.published.applied().0);
        let mut batch = std::mem::take(&mut self.batch);
        batch.retain(|write| !write.waiter.reply.is_closed());
        let (batch, expired): (Vec<_>, Vec<_>) = batch.into_iter().partition(|write| write.deadline > now);
        self.refuse(expired, &WriteError::Expired);
        let leads = self.node.role() == RoleName::Leader;
        let batch = if leads { self.keep_what_has_room(batch) } else { batch };
        if batch.is_empty() {
            return;
        }
        if leads && (unapplied > self.options.unapplied_max || self.is_applier_behind()) {
            return self.refuse(batch, &WriteError::Overloaded("committed writes wait to be applied"));
        }
        match self.node.propose(batch.iter().map(|write| write.command.clone())) {
            Ok(first) => self.wait_for(first, batch),
            Err(ProposeError::NotLeader(leader)) => self.refuse(batch, &WriteError::NotLeader { leader }),
            Err(ProposeError::Transferring) => self.refuse(batch, &WriteError::Transferring),
            Err(ProposeError::LogFull) => {
                self.refuse(batch, &WriteError::Overloaded("the log in memory waits for the disk"));
            }
        }
    }

    /// With little room left, only what makes room is taken, as long as there is some; before that, no more than the
    /// reserve holds until the disk is looked at again.
    fn keep_what_has_room(&mut self, batch: Vec<Write>) -> Vec<Write> {
        if self.published.has_room_for_proposals() {
            return self.keep_pace(batch);
        }
        let some_room = self.published.has_room_for_entries();
        let makes_room =
            |write: &Write| Command::decode(&write.command).is_ok_and(|command| command.makes_room());
        let (batch, refused): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|write| some_room && makes_room(write));
        self.refuse(refused, &WriteError::NoSpace);
        batch
    }

    fn keep_pace(&mut self, mut batch: Vec<Write>) -> Vec<Write> {
        let mut left = self.disk_pace.proposable(self.published.look());
        let mut fits = |write: &Write| {
            let takes = left > 0;
            left = left.saturating_sub(write.command.len() as u64);
            takes
        };
        let refused = batch.split_off(batch.iter().position(|write| !fits(write)).unwrap_or(batch.len()));
        self.refuse(refused, &WriteError::Overloaded("the disk is nearly full, and writes are taken slowly"));
        batch
    }

    /// Entries that were handed out no longer count as the log's tail: this bounds them.
    fn is_applier_behind(&self) -> bool {
        let (bytes, bound) = (self.published.unapplied_bytes(), self.options.unapplied_bytes_max);
        // What was in the tail when the bound was met may still be handed out.
        debug_assert!(
            bytes <= bound + 2 * self.options.raft.tail_bytes_max,
            "{bytes} bytes wait to be applied"
        );
        bytes > bound
    }

    fn advertise(&mut self, member: &Member) -> Result<(), AdvertiseError> {
        if self.node.role() == RoleName::Leader && !self.published.has_room_for_proposals() {
            return Err(AdvertiseError::Busy("the leader's disk is nearly full".into()));
        }
        advertise(&mut self.node, member)
    }

    fn refuse(&mut self, batch: Vec<Write>, error: &WriteError) {
        let refusals = batch.into_iter().map(|write| Answer::Write(write.waiter, Err(error.clone())));
        self.answers.extend(refusals);
    }

    fn give_answers(&mut self) {
        self.published.clients_thread.answer(std::mem::take(&mut self.answers));
    }

    fn wait_for(&mut self, first: EntryId, batch: Vec<Write>) {
        for (id, write) in (first.index.0..).map(Index).zip(batch) {
            self.pending.wait(EntryId { term: first.term, index: id }, write.waiter);
        }
    }

    fn carry_out(&mut self, effects: Effects) {
        let Effects { persist, messages, committed, reads, install, send_snapshots, read_log } = effects;
        // Messages first: those that had to wait for the disk are still inside the node.
        for (to, message) in messages {
            if !self.transport.send(to, message) {
                self.node.unreachable(to);
            }
        }
        for read in read_log {
            self.workers.log_reading.submit(read);
        }
        if let Some(persist) = persist {
            self.retention.wrote(&persist);
            let bytes = persist.entries.iter().map(|entry| entry.size() as u64).sum();
            self.disk_pace.wrote(self.published.look(), bytes);
            self.workers.log_writer.submit(LogJob::Write(persist));
        }
        if !committed.is_empty() {
            self.published.add_unapplied(committed.iter().map(Entry::size).sum());
            self.workers.applier.submit(ApplyJob::Apply(self.pending.join(committed)));
        }
        for outcome in reads {
            self.answer_read(outcome);
        }
        self.finish_install(install.as_ref());
        for peer in send_snapshots {
            match snapshot::of(self.cluster, self.published.view()) {
                Ok(snapshot) => {
                    self.retention.snapshot_begins(peer, snapshot.meta.last.index);
                    self.transport.send_snapshot(peer, self.node.hard_state().term, snapshot);
                }
                Err(error) => {
                    tracing::error!(%peer, %error, "a snapshot cannot be made");
                    self.node.snapshot_sent(peer, None);
                }
            }
        }
    }

    fn answer_read(&mut self, outcome: ReadOutcome) {
        let (token, answer) = match outcome {
            ReadOutcome::Ready { token, index } => (token, Ok(index)),
            ReadOutcome::Lost { token } => (token, Err(ReadError::NotLeader { leader: self.node.leader() })),
        };
        if let Some(waiter) = self.reads.remove(&token) {
            self.answers.push(Answer::Read(waiter, answer));
        }
    }

    /// The fate of a snapshot that was offered in this turn.
    fn finish_install(&mut self, wanted: Option<&crate::raft::SnapshotMeta>) {
        let Some(install) = self.install.take() else { return };
        let Install { meta, state, machine, reply, .. } = install;
        if wanted != Some(&meta) {
            let at = self.node.commit();
            let why = format!("it ends at {}, this node has committed up to {at}", meta.last);
            let _ = reply.send(Err(InstallError::Stale(why)));
            return;
        }
        let answer = (self.node.hard_state().term, meta.last.index);
        let job = InstallJob { meta, state, machine, answer, reply };
        self.workers.applier.submit(ApplyJob::Install(Box::new(job)));
    }

    /// Compacts the part of the log that nobody needs any more.
    fn compact(&mut self) {
        let followers = self.node.followers();
        let covered = self.state_durable.min(self.node.handed_out());
        if let Some(through) = self.retention.forget(covered, &followers) {
            self.node.compact(through.index);
            self.workers.log_writer.submit(LogJob::Compact(through));
        }
    }

    async fn end(mut self) {
        self.running.0.stop();
        self.inbox.requests.close();
        while let Ok(request) = self.inbox.requests.try_recv() {
            self.take_request(request);
        }
        let batch = std::mem::take(&mut self.batch);
        self.refuse(batch, &WriteError::Stopping);
        self.pending.abandon();
        for (_, waiter) in std::mem::take(&mut self.reads) {
            self.answers.push(Answer::Read(waiter, Err(ReadError::Stopping)));
        }
        self.give_answers();
        let Workers { log_writer, log_storer, log_reading, applier, state_syncer } = self.workers;
        // On a blocking thread: a hanging disk must not hold up the network's thread.
        let stopped = tokio::task::spawn_blocking(move || {
            log_writer.stop();
            log_storer.stop();
            log_reading.stop();
            applier.stop();
            state_syncer.stop();
        });
        if stopped.await.is_err() {
            tracing::error!("the workers could not be stopped");
        }
        while let Ok(fact) = self.inbox.facts.try_recv() {
            if let Fact::Applied(batch) = fact {
                self.published.clients_thread.answer(batch.answers);
            }
        }
        if let Some(done) = self.stopped {
            let _ = done.send(());
        }
    }
}

pub(crate) fn status(node: &Node) -> Status {
    Status {
        node: node.id(),
        role: node.role(),
        term: node.hard_state().term,
        leader: node.leader(),
        commit: node.commit(),
        last: node.last(),
        durable: node.durable(),
        compacted: node.compacted(),
        members: node.members().clone(),
        followers: node.followers(),
        disk_stalled: node.is_disk_stalled(),
    }
}
