//! The node: facts go in by method calls, one plain value comes out.

use crate::raft::core::Core;
use crate::raft::effects::{Effects, LogRead, LogSlice, Mark, ReadToken};
use crate::raft::election;
use crate::raft::entry::{Entry, HardState, Payload};
#[cfg(any(test, debug_assertions))]
use crate::raft::invariants::Observed;
use crate::raft::leader::Leader;
use crate::raft::log::Log;
use crate::raft::members::Members;
use crate::raft::message::{Message, RequestVote, Round, Vote};
use crate::raft::next::Next;
use crate::raft::options::Options;
use crate::raft::progress::{FollowerProgress, Progress};
use crate::raft::refusal::{MembersRefused, ProposeError, ReadRefused, TransferRefused};
use crate::raft::role::{Follower, Role, RoleName};
use crate::raft::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index, NodeId, Term};
use bytes::Bytes;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A message whose term is further ahead is ignored. No history of elections leads there (at one a second it would take
/// 136 years), so it is forged or damaged; and once entered, the highest term of all would leave none for another leader.
const TERM_LEAP_MAX: u64 = 1 << 32;

/// One member's consensus state: a value without clock, disk, socket or thread.
///
/// Call any methods, then carry out [`take_effects`](Node::take_effects) in full.
#[derive(Clone, Debug)]
pub struct Node {
    core: Core,
    role: Role,
    #[cfg(any(test, debug_assertions))]
    observed: Observed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub hard_state: HardState,
    /// Entries up to here are gone from the log.
    pub compacted: Index,
    /// The entry before the first of `entries`, not after `applied`: everything up to it can be read from the
    /// log's store.
    pub base: EntryId,
    /// The rest of the log, without gaps.
    pub entries: Vec<Entry>,
    /// The last entry whose effect the durable state includes.
    pub applied: EntryId,
    /// The members at that entry; in a new cluster, the founding ones.
    pub members: Members,
}

// Inputs.
impl Node {
    /// A restored node. `seed` determines its election timeouts.
    pub fn new(id: NodeId, options: Options, seed: u64, restored: Restored) -> Self {
        let Restored { mut hard_state, compacted, base, entries, applied, members } = restored;
        // Compaction follows the durable state. A state older than the log's beginning is damaged: starting
        // from it would forget what was acknowledged.
        assert!(base.index <= applied.index, "the state ends at {applied}, the log begins after {base}");
        let holds = |id: EntryId| id == base || entries.iter().any(|entry| entry.id == id);
        // A crash between the installation of a snapshot and the reset of the log leaves a log that the state
        // has overtaken: the state is what is committed.
        let overtaken = !holds(applied);
        let log = if overtaken {
            Log::new(applied.index, applied, Vec::new(), applied.index, members)
        } else {
            Log::new(compacted, base, entries, applied.index, members)
        };
        // The snapshot's term may have become durable before our own record of it.
        let newest = log.last().term;
        if hard_state.term < newest {
            hard_state = HardState { term: newest, vote: None };
        }
        let mut core = Core::new(id, options, seed, hard_state, log);
        if overtaken {
            core.set_hard_state(hard_state);
            core.reset_log_on_disk();
        }
        let role = Role::Follower(Follower::new(&mut core, None));
        #[cfg(any(test, debug_assertions))]
        let observed = Observed::of(&core, &role);
        Self {
            core,
            role,
            #[cfg(any(test, debug_assertions))]
            observed,
        }
    }

    /// One unit of logical time passed.
    pub fn tick(&mut self) {
        self.core.tick_disk();
        let next = match &mut self.role {
            Role::Follower(follower) => follower.tick(&self.core),
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => candidate.tick(&self.core),
            Role::Leader(leader) => leader.tick(&mut self.core),
        };
        self.go(next);
    }

    /// A message from a peer.
    pub fn step(&mut self, from: NodeId, message: Message) {
        if from != self.core.id && self.enter_term_of(from, &message) {
            self.handle(from, message);
        }
        self.check();
    }

    /// Proposes commands, in order, as one batch.
    pub fn propose(&mut self, commands: impl IntoIterator<Item = Bytes>) -> Result<EntryId, ProposeError> {
        self.may_propose()?;
        let first = EntryId { term: self.core.term(), index: self.core.log.last().index.next() };
        for command in commands {
            self.core.log.push(first.term, Payload::Command(command));
        }
        self.check();
        Ok(first)
    }

    /// Proposes other members, which are in force at once (Raft §6). One change at a time: two that are not committed
    /// could leave two leaders with a majority each. Nor before an entry of this term is committed, or a change of an
    /// earlier term might be under way unseen (Ongaro, raft-dev, "bug in single-server membership changes").
    pub fn propose_members(&mut self, members: Members) -> Result<EntryId, MembersRefused> {
        let leader = self.may_propose()?;
        if !leader.has_committed(&self.core) || !self.core.log.are_members_committed() {
            return Err(MembersRefused::Busy);
        }
        let id = self.core.log.push(self.core.term(), Payload::Members(members));
        self.check();
        Ok(id)
    }

    fn may_propose(&self) -> Result<&Leader, ProposeError> {
        let Role::Leader(leader) = &self.role else { return Err(ProposeError::NotLeader(self.leader())) };
        if leader.transfer.is_some() {
            return Err(ProposeError::Transferring);
        }
        if self.core.is_log_full() {
            return Err(ProposeError::LogFull);
        }
        Ok(leader)
    }

    /// Asks for leadership to be confirmed for a read; the answer comes in [`Effects::reads`].
    pub fn read(&mut self, token: ReadToken) -> Result<(), ReadRefused> {
        let known = self.leader();
        let Role::Leader(leader) = &mut self.role else { return Err(ReadRefused::NotLeader(known)) };
        if leader.reads.len() >= self.core.options.reads_max {
            return Err(ReadRefused::TooMany);
        }
        leader.reads.wait(token);
        Ok(())
    }

    /// Hands leadership to another voter. Proposals are refused until it has
    /// taken over or an election timeout has passed.
    pub fn transfer_leadership(&mut self, to: NodeId) -> Result<(), TransferRefused> {
        let known = self.leader();
        let Role::Leader(leader) = &mut self.role else { return Err(TransferRefused::NotLeader(known)) };
        if to == self.core.id || !self.core.log.members().is_voter(to) {
            return Err(TransferRefused::NotVoter);
        }
        if leader.transfer.is_some() {
            return Err(TransferRefused::Busy);
        }
        leader.begin_transfer(&mut self.core, to);
        self.check();
        Ok(())
    }

    /// The writes up to `mark` are durable.
    pub fn persisted(&mut self, mark: Mark) {
        self.core.persisted(mark);
        let own = self.core.id;
        let durable = self.core.is_hard_state_durable();
        let next = match &mut self.role {
            Role::Candidate(candidate) if durable => {
                candidate.handle_vote(&self.core, own, true);
                election::after_vote(&self.core, &self.role)
            }
            Role::Leader(leader) => {
                leader.advance_commit(&mut self.core);
                Next::Stay
            }
            _ => Next::Stay,
        };
        self.go(next);
    }

    /// The state was replaced by the snapshot that [`Effects::install`] named, durably.
    pub fn snapshot_installed(&mut self, meta: &SnapshotMeta) {
        let installing = self.core.installing.take();
        assert_eq!(installing.as_ref(), Some(meta), "only what was asked for is installed");
        self.core.log.reset(meta.last, meta.members.clone());
        self.core.reset_log_on_disk();
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = meta.last.index;
            follower.owes_ack = true;
        }
        self.check();
    }

    /// The sending of a snapshot to `peer` ended: with the index that its state includes now, or `None` after
    /// a failure.
    pub fn snapshot_sent(&mut self, peer: NodeId, applied: Option<Index>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.snapshot_sent(&mut self.core, peer, applied);
        }
        self.check();
    }

    /// Messages to or from the peer were lost, or its connection broke.
    pub fn unreachable(&mut self, peer: NodeId) {
        match &mut self.role {
            Role::Leader(leader) => leader.unreachable(peer),
            Role::Follower(follower) if follower.leader == Some(peer) => follower.leader_lost(&mut self.core),
            _ => {}
        }
        self.check();
    }

    /// Tells whether there is no room for entries, on the disk or before the state machine. Then a leader refuses
    /// proposals and a follower takes no appends; otherwise both go on.
    pub fn set_full(&mut self, full: bool) {
        self.core.full = full;
    }

    /// The log's store holds all writes before `mark`, and that one up to the entry at `last`. What was in the log
    /// at the start counts as written with [`Mark::RESTORED`]. May come before [`persisted`](Self::persisted).
    pub fn stored(&mut self, mark: Mark, last: Index) {
        self.core.log.stored(mark, last);
        self.check();
    }

    /// The entries that [`Effects::read_log`] asked for; `None` if the log's store has compacted them.
    pub fn log_read(&mut self, read: LogRead, slice: Option<LogSlice>) {
        // Ignored if it was asked for in another term.
        if read.term == self.core.term()
            && let Role::Leader(leader) = &mut self.role
        {
            leader.log_read(&mut self.core, read, slice);
        }
        self.check();
    }

    /// The state that includes `through` is durable: the log is about to be compacted up to there.
    pub fn compact(&mut self, through: Index) {
        self.core.log.compact(through);
        self.check();
    }

    /// Everything to do now. Call it once per turn, after all waiting inputs: what one turn proposes leaves
    /// as one write and one message per peer.
    pub fn take_effects(&mut self) -> Effects {
        if let Role::Leader(leader) = &mut self.role {
            leader.flush(&mut self.core);
        }
        self.core.effects.persist = self.core.take_persist();
        if let Role::Follower(follower) = &mut self.role {
            follower.acknowledge(&mut self.core);
        }
        self.core.log.trim(self.core.options.tail_bytes, self.core.options.tail_entries);
        if self.core.installing.is_none() {
            self.core.effects.committed = self.core.log.take_committed();
        }
        self.check();
        std::mem::take(&mut self.core.effects)
    }
}

// Queries.
impl Node {
    pub fn id(&self) -> NodeId {
        self.core.id
    }

    pub fn role(&self) -> RoleName {
        match &self.role {
            Role::Follower(_) if !self.members().is_voter(self.core.id) => RoleName::Learner,
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) => RoleName::PreCandidate,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }

    pub fn hard_state(&self) -> HardState {
        self.core.hard_state()
    }

    /// The leader of the current term, if it is known.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.core.id),
        }
    }

    /// The last entry known to be committed.
    pub fn commit(&self) -> Index {
        self.core.log.commit()
    }

    /// The last entry of the log.
    pub fn last(&self) -> EntryId {
        self.core.log.last()
    }

    /// The last entry that is durable here.
    pub fn durable(&self) -> Index {
        self.core.log.durable()
    }

    /// The last entry that was handed out to be applied.
    pub fn handed_out(&self) -> Index {
        self.core.log.handed_out()
    }

    /// Entries up to here are gone from the log.
    pub fn compacted(&self) -> Index {
        self.core.log.compacted()
    }

    /// The entry before the first one in memory.
    pub fn base(&self) -> EntryId {
        self.core.log.base()
    }

    /// The size of the log's tail in bytes, about.
    pub fn tail_bytes(&self) -> usize {
        self.core.log.bytes()
    }

    /// The term of an entry, if it is in the log's tail.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.core.log.term_at(index)
    }

    /// The members in force.
    pub fn members(&self) -> &Arc<Members> {
        self.core.log.members()
    }

    /// Whether its own disk has been silent for several election timeouts.
    pub fn is_disk_stalled(&self) -> bool {
        self.core.is_disk_stalled()
    }

    /// The node that leadership is being handed over to.
    pub fn transferring(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(leader) => leader.transfer.map(|transfer| transfer.to),
            _ => None,
        }
    }

    /// Whether that node has been told to take over. From then on it may do so, even after the transfer was given up.
    pub fn has_sent_timeout_now(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if leader.transfer.is_some_and(|transfer| transfer.sent))
    }

    /// Hashes everything that determines what the node will do: nodes with equal hashes count as the same,
    /// which keeps the number of states that a model checker visits finite.
    ///
    /// Randomness is left out, and with it the length of election timeouts; so is how long the disk has been
    /// silent. A checker that relies on this must let a timeout pass as one step, and never let the disk
    /// stall. Marks are relative to the last one that came back, since they are used in no other way.
    /// Statements that wait for the disk are a set: the network may repeat and reorder them anyway.
    pub fn fingerprint(&self, to: &mut impl Hasher) {
        self.core.fingerprint(to);
        std::mem::discriminant(&self.role).hash(to);
        match &self.role {
            Role::Follower(follower) => follower.fingerprint(to),
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => candidate.fingerprint(to),
            Role::Leader(leader) => leader.fingerprint(&self.core.options, to),
        }
    }

    /// On a leader, the progress of the others.
    pub fn followers(&self) -> Vec<FollowerProgress> {
        let Role::Leader(leader) = &self.role else { return Vec::new() };
        let options = &self.core.options;
        let of = |(node, progress): (&NodeId, &Progress)| FollowerProgress {
            node: *node,
            alive: progress.silent_ticks < options.election_ticks_min,
            state: progress.state(),
            matched: progress.matched,
            next: progress.next,
        };
        leader.progress.iter().map(of).collect()
    }
}

// Handling of messages.
impl Node {
    /// Raft §5.1: a higher term is entered, a lower one is answered with ours.
    /// False if there is nothing more to do.
    fn enter_term_of(&mut self, from: NodeId, message: &Message) -> bool {
        let term = message.term();
        if term < self.core.term() {
            self.answer_stale(from, message);
            return false;
        }
        if term <= self.core.term() {
            return true;
        }
        if term.get() - self.core.term().get() > TERM_LEAP_MAX {
            return false;
        }
        match message {
            // A pre-vote and its approval are about a term that nobody has entered.
            Message::RequestVote(RequestVote { pre: true, .. })
            | Message::Vote(Vote { pre: true, granted: true, .. }) => true,
            Message::RequestVote(request)
                if !request.transfer && election::is_leader_alive(&self.core, &self.role) =>
            {
                false
            }
            Message::Append(_) | Message::Heartbeat(_) | Message::InstallSnapshot { .. } => {
                self.role.enter_term(&mut self.core, term, Some(from));
                true
            }
            _ => {
                self.role.enter_term(&mut self.core, term, None);
                true
            }
        }
    }

    /// Lets a stale leader or candidate know our term. Without an answer a node
    /// that came back with a higher term would stay deaf to a leader with a lower one.
    fn answer_stale(&mut self, from: NodeId, message: &Message) {
        let term = self.core.term();
        let answer = match message {
            Message::RequestVote(RequestVote { pre, .. }) => {
                Message::Vote(Vote { term, granted: false, pre: *pre })
            }
            Message::Append(append) => {
                Message::Rejected { term, prev: append.prev.index, hint: self.core.log.base() }
            }
            // Without its round: rounds are counted within a term, and the sender may lead again in ours.
            // Then the round that it asked for in its old term would confirm another one.
            Message::Heartbeat(_) => {
                // But the rest must be true: the sender may lead us again, and believes it.
                let (received, full) = self.standing_with(from);
                Message::HeartbeatAck { term, round: Round(0), received, full }
            }
            _ => return,
        };
        self.core.send(from, answer);
    }

    /// How far our log is known to be equal to that of a leader, and whether there is no room for more.
    fn standing_with(&self, leader: NodeId) -> (Index, bool) {
        match &self.role {
            Role::Follower(follower) if follower.leader == Some(leader) => follower.standing(&self.core),
            _ => (Index(0), self.core.full),
        }
    }

    /// A message of our term (or about a pre-vote).
    fn handle(&mut self, from: NodeId, message: Message) {
        match message {
            Message::RequestVote(request) => {
                election::handle_request(&mut self.core, &mut self.role, from, request);
            }
            Message::Vote(vote) => self.handle_vote(from, vote),
            Message::Append(append) => {
                if let Some((follower, core)) = self.follow(from) {
                    follower.handle_append(core, from, append);
                }
            }
            Message::Heartbeat(heartbeat) => {
                if let Some((follower, core)) = self.follow(from) {
                    follower.handle_heartbeat(core, from, heartbeat);
                }
            }
            Message::InstallSnapshot { meta, .. } => {
                if let Some((follower, core)) = self.follow(from) {
                    follower.handle_snapshot(core, meta);
                }
            }
            Message::Accepted { matched, .. } => {
                if let Some((leader, core)) = self.lead() {
                    leader.handle_accepted(core, from, matched);
                }
            }
            Message::Rejected { prev, hint, .. } => {
                if let Some((leader, core)) = self.lead() {
                    leader.handle_rejected(core, from, prev, hint);
                }
            }
            Message::HeartbeatAck { round, received, full, .. } => {
                if let Some((leader, core)) = self.lead() {
                    leader.handle_heartbeat_ack(core, from, round, received, full);
                }
            }
            Message::TimeoutNow { .. } => self.handle_timeout_now(from),
        }
    }

    /// The sender leads our term: follow it.
    fn follow(&mut self, from: NodeId) -> Option<(&mut Follower, &mut Core)> {
        let known = match &self.role {
            Role::Follower(follower) => follower.leader == Some(from),
            Role::PreCandidate(_) | Role::Candidate(_) => false,
            // There cannot be two leaders in a term; a message that claims so is ignored.
            Role::Leader(_) => return None,
        };
        if !known {
            self.role.become_next(&mut self.core, Next::Follow(Some(from)));
        }
        let Role::Follower(follower) = &mut self.role else { return None };
        follower.elapsed = 0;
        Some((follower, &mut self.core))
    }

    fn lead(&mut self) -> Option<(&mut Leader, &mut Core)> {
        match &mut self.role {
            Role::Leader(leader) => Some((leader, &mut self.core)),
            _ => None,
        }
    }

    fn handle_vote(&mut self, from: NodeId, vote: Vote) {
        // Answers from another election, such as late ones, do not count.
        let asked = match &self.role {
            Role::PreCandidate(_) => vote.pre && (!vote.granted || vote.term == self.core.term().next()),
            Role::Candidate(_) => !vote.pre && vote.term == self.core.term(),
            Role::Follower(_) | Role::Leader(_) => false,
        };
        if !asked {
            return;
        }
        if let Role::PreCandidate(candidate) | Role::Candidate(candidate) = &mut self.role {
            candidate.handle_vote(&self.core, from, vote.granted);
        }
        let next = election::after_vote(&self.core, &self.role);
        self.go(next);
    }

    /// The leader hands over to us. Only the leader that we follow may do so.
    fn handle_timeout_now(&mut self, from: NodeId) {
        if self.leader() == Some(from) && from != self.core.id && self.core.may_stand() {
            self.go(Next::Campaign { transfer: true });
        }
    }

    fn go(&mut self, next: Next) {
        self.role.become_next(&mut self.core, next);
        // A single voter has won as soon as it asks.
        if next == Next::PreCampaign {
            let next = election::after_vote(&self.core, &self.role);
            self.role.become_next(&mut self.core, next);
        }
        self.check();
    }

    /// Checks the invariants, of the new state and of the step to it (DESIGN.md, "Invariants").
    fn check(&mut self) {
        #[cfg(any(test, debug_assertions))]
        {
            self.core.assert_consistent();
            let now = Observed::of(&self.core, &self.role);
            self.observed.assert_allows(&now);
            self.observed = now;
        }
    }
}
