//! What a node has in every role: term and vote, the log, and the sending of messages, some of which wait
//! until the disk has what they rest on.

use crate::raft::effects::{Effects, Mark, Persist};
use crate::raft::entry::HardState;
use crate::raft::log::Log;
use crate::raft::message::Message;
use crate::raft::options::Options;
use crate::raft::snapshot::SnapshotMeta;
use crate::types::{EntryId, NodeId, Term};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The most statements that may wait for the disk. They are small, and any of them may be lost.
const STATEMENTS_MAX: usize = 1024;
/// How often an election timeout is doubled at most. It is then longer than any disk may take that does not count as
/// stalled.
const BACKOFFS_MAX: u32 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) id: NodeId,
    pub(crate) options: Options,
    pub(crate) rng: fastrand::Rng,
    pub(crate) log: Log,
    /// The effects since the last `take_effects`.
    pub(crate) effects: Effects,
    /// Whether the disk has no room for more entries.
    pub(crate) full: bool,
    /// A snapshot that is being installed; until that is done the log does not change.
    pub(crate) installing: Option<SnapshotMeta>,
    hard_state: HardState,
    /// Candidacies in a row that came to nothing. A leader ends the count.
    failed_candidacies: u32,
    /// The log must be emptied on disk too, to begin behind this entry.
    reset: Option<EntryId>,
    disk: Disk,
    /// Statements that wait for a mark, in ascending order.
    statements: VecDeque<(Mark, NodeId, Message)>,
}

/// What the disk was given to write and what it has finished.
#[derive(Clone, Debug, Default)]
struct Disk {
    issued: Mark,
    persisted: Mark,
    /// The write that holds the newest hard state.
    hard_state: Mark,
    /// Whether the hard state has changed since.
    hard_state_changed: bool,
    /// Ticks without a finished write while some are outstanding.
    silent_ticks: u32,
}

impl Core {
    pub(crate) fn new(id: NodeId, options: Options, seed: u64, hard_state: HardState, log: Log) -> Self {
        options.assert_consistent();
        Self {
            id,
            options,
            rng: fastrand::Rng::with_seed(seed),
            log,
            effects: Effects::default(),
            full: false,
            installing: None,
            hard_state,
            failed_candidacies: 0,
            reset: None,
            disk: Disk::default(),
            statements: VecDeque::new(),
        }
    }

    pub(crate) fn term(&self) -> Term {
        self.hard_state.term
    }

    pub(crate) fn vote(&self) -> Option<NodeId> {
        self.hard_state.vote
    }

    pub(crate) fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Enters a higher term, without a vote yet.
    pub(crate) fn enter_term(&mut self, term: Term) {
        assert!(term > self.hard_state.term, "terms never fall");
        self.set_hard_state(HardState { term, vote: None });
    }

    /// Votes in the current term, once.
    pub(crate) fn vote_for(&mut self, node: NodeId) {
        if self.hard_state.vote == Some(node) {
            return;
        }
        assert_eq!(self.hard_state.vote, None, "one vote per term (Raft §5.2)");
        self.set_hard_state(HardState { vote: Some(node), ..self.hard_state });
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
        self.disk.hard_state_changed = true;
    }

    /// The log on disk must be dropped too.
    pub(crate) fn reset_log_on_disk(&mut self) {
        self.reset = Some(self.log.base());
    }

    /// The only way to send a message. One that [rests on the hard state](Message::rests_on_hard_state)
    /// leaves when that is durable, any other at once, while the disk may still be writing (thesis §10.2.1).
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        if !message.rests_on_hard_state() || self.is_hard_state_durable() {
            return self.effects.messages.push((to, message));
        }
        if self.statements.len() == STATEMENTS_MAX {
            self.statements.pop_front();
        }
        let mark = if self.disk.hard_state_changed { self.next_mark() } else { self.disk.hard_state };
        self.statements.push_back((mark, to, message));
    }

    pub(crate) fn is_hard_state_durable(&self) -> bool {
        !self.disk.hard_state_changed && self.disk.hard_state <= self.disk.persisted
    }

    fn next_mark(&self) -> Mark {
        Mark(self.disk.issued.0 + 1)
    }

    /// One write with everything that the disk has not been given yet.
    pub(crate) fn take_persist(&mut self) -> Option<Persist> {
        if !self.disk.hard_state_changed && self.reset.is_none() && !self.log.has_unwritten() {
            return None;
        }
        let mark = self.next_mark();
        let hard_state = self.disk.hard_state_changed.then_some(self.hard_state);
        if hard_state.is_some() {
            self.disk.hard_state = mark;
            self.disk.hard_state_changed = false;
        }
        self.disk.issued = mark;
        Some(Persist { mark, hard_state, reset: self.reset.take(), entries: self.log.take_unwritten(mark) })
    }

    /// Everything written up to `mark` is durable: what waited for it leaves.
    pub(crate) fn persisted(&mut self, mark: Mark) {
        assert!(mark > self.disk.persisted && mark <= self.disk.issued, "marks come back in order");
        self.disk.persisted = mark;
        self.disk.silent_ticks = 0;
        self.log.persisted(mark);
        while let Some((_, to, message)) = self.statements.pop_front_if(|(needed, ..)| *needed <= mark) {
            self.effects.messages.push((to, message));
        }
    }

    /// Counts a tick of silence if the disk owes a write.
    pub(crate) fn tick_disk(&mut self) {
        let owes = self.disk.issued > self.disk.persisted;
        self.disk.silent_ticks = if owes { self.disk.silent_ticks.saturating_add(1) } else { 0 };
    }

    /// Whether our own disk has finished nothing for several election timeouts. Such a node could still send
    /// heartbeats but commits nothing: it must not lead.
    pub(crate) fn is_disk_stalled(&self) -> bool {
        self.disk.silent_ticks >= self.options.disk_stall_ticks
    }

    /// Whether this node may stand for election.
    pub(crate) fn may_stand(&self) -> bool {
        self.log.members().is_voter(self.id) && self.installing.is_none() && !self.is_disk_stalled()
    }

    /// A fresh random election timeout (Raft §5.2), twice as long after each failed candidacy: a voter's disk may need
    /// longer than a timeout, and two candidates with slow disks need more time between them.
    pub(crate) fn election_timeout(&mut self) -> u32 {
        let timeout = self.rng.u32(self.options.election_ticks_min..=self.options.election_ticks_max);
        timeout << self.failed_candidacies.min(BACKOFFS_MAX)
    }

    pub(crate) fn candidacy_failed(&mut self) {
        self.failed_candidacies = self.failed_candidacies.saturating_add(1);
    }

    /// There is a leader: the next election begins without a history.
    pub(crate) fn has_leader(&mut self) {
        self.failed_candidacies = 0;
    }

    /// Whether there is no room for more proposals, on the disk or in the tail.
    pub(crate) fn is_log_full(&self) -> bool {
        self.full
            || self.log.bytes() >= self.options.tail_bytes_max
            || self.log.len() >= self.options.tail_entries_max
    }

    /// Whether the tail must be trimmed before it takes a leader's entries. Only committed entries count,
    /// since only they can be trimmed: the others may need one more entry to become committed (Raft §5.4.2),
    /// and there are never more of them than fit into a leader's tail.
    pub(crate) fn must_trim_first(&self) -> bool {
        let committed = self.log.commit().0 - self.log.base().index.0;
        self.log.committed_bytes() >= self.options.tail_bytes_max
            || committed >= self.options.tail_entries_max as u64
    }

    pub(crate) fn peers(&self) -> Vec<NodeId> {
        self.log.members().all().filter(|node| *node != self.id).collect()
    }

    /// See [`Node::fingerprint`](crate::raft::Node::fingerprint).
    pub(crate) fn fingerprint<H: Hasher>(&self, to: &mut H) {
        let Self { id, options: _, rng: _, log, effects, .. } = self;
        // The failed candidacies only make timeouts longer.
        let Self { full, installing, hard_state, failed_candidacies: _, reset, disk, statements, .. } = self;
        (id, effects, full, installing, hard_state, reset).hash(to);
        let Disk { issued, persisted, hard_state, hard_state_changed, silent_ticks: _ } = disk;
        (issued.since(*persisted), hard_state.since(*persisted), hard_state_changed).hash(to);
        // Hearing a statement twice, or in another order, tells nothing new.
        let hash_of = |node: &NodeId, message: &Message| {
            let mut hasher = DefaultHasher::new();
            (node, message).hash(&mut hasher);
            hasher.finish()
        };
        let mut waiting: Vec<_> = statements
            .iter()
            .map(|(mark, node, message)| (hash_of(node, message), mark.since(*persisted)))
            .collect();
        waiting.sort_unstable();
        waiting.dedup_by_key(|(statement, _)| *statement);
        waiting.hash(to);
        log.fingerprint(*persisted, to);
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn assert_consistent(&self) {
        self.log.assert_consistent();
        assert!(self.log.last().term <= self.term(), "no entry is from a future term");
        assert!(self.disk.persisted <= self.disk.issued);
        let waiting = self.statements.iter().map(|(mark, ..)| *mark);
        assert!(waiting.clone().is_sorted() && waiting.clone().all(|mark| mark > self.disk.persisted));
    }
}
