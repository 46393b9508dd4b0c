//! The roles, the state of each, and the only place that changes them.

use crate::raft::core::Core;
use crate::raft::leader::Leader;
use crate::raft::message::{Message, RequestVote};
use crate::raft::next::Next;
use crate::types::{Index, NodeId, Term};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Follows a leader, or waits for one.
    Follower(Follower),
    /// Asks whether it could win, without disturbing anyone (thesis §9.6).
    PreCandidate(Candidate),
    /// Stands for election (Raft §5.2).
    Candidate(Candidate),
    /// Orders all entries.
    Leader(Box<Leader>),
}

/// The state of a follower.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: Option<NodeId>,
    /// Ticks since it heard from the leader, or since it began to wait.
    pub(crate) elapsed: u32,
    pub(crate) timeout: u32,
    /// Our log is equal to this leader's up to here.
    pub(crate) verified: Index,
    /// What we last acknowledged to it.
    pub(crate) acknowledged: Index,
    /// Whether an append has not been acknowledged yet.
    pub(crate) owes_ack: bool,
}

/// The state of a candidate of either kind.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) votes: BTreeMap<NodeId, bool>,
    pub(crate) elapsed: u32,
    pub(crate) timeout: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Stands for election.
    Candidate,
    Leader,
    /// Follows without a vote.
    Learner,
}

impl Role {
    /// Carries out what a handler decided.
    pub(crate) fn become_next(&mut self, core: &mut Core, next: Next) {
        if let (Self::Candidate(_), Next::PreCampaign | Next::Follow(None)) = (&*self, next) {
            core.candidacy_failed();
        }
        match next {
            Next::Stay => {}
            Next::Follow(leader) => self.follow(core, leader),
            Next::PreCampaign => self.pre_campaign(core),
            Next::Campaign { transfer } => self.campaign(core, transfer),
            Next::Lead => self.lead(core),
        }
    }

    /// Enters a higher term as a follower (Raft §5.1).
    pub(crate) fn enter_term(&mut self, core: &mut Core, term: Term, leader: Option<NodeId>) {
        core.enter_term(term);
        self.follow(core, leader);
    }

    fn follow(&mut self, core: &mut Core, leader: Option<NodeId>) {
        if leader.is_some() {
            core.has_leader();
        }
        let next = Self::Follower(Follower::new(core, leader));
        if let Self::Leader(former) = std::mem::replace(self, next) {
            core.effects.reads.extend(former.into_reads().abandon());
        }
    }

    fn pre_campaign(&mut self, core: &mut Core) {
        if !core.may_stand() {
            return self.follow(core, None);
        }
        let mut candidate = Candidate::new(core);
        candidate.votes.insert(core.id, true);
        *self = Self::PreCandidate(candidate);
        ask_for_votes(core, core.term().next(), true, false);
    }

    fn campaign(&mut self, core: &mut Core, transfer: bool) {
        if !core.may_stand() {
            return self.follow(core, None);
        }
        core.enter_term(core.term().next());
        core.vote_for(core.id);
        // Our own vote counts, like any other, once it is durable.
        *self = Self::Candidate(Candidate::new(core));
        ask_for_votes(core, core.term(), false, transfer);
    }

    fn lead(&mut self, core: &mut Core) {
        assert!(matches!(self, Self::Candidate(_)), "only a candidate wins an election");
        assert_eq!(core.vote(), Some(core.id));
        core.has_leader();
        *self = Self::Leader(Box::new(Leader::new(core)));
    }
}

fn ask_for_votes(core: &mut Core, term: Term, pre: bool, transfer: bool) {
    let request = RequestVote { term, last: core.log.last(), pre, transfer };
    let voters: Vec<NodeId> =
        core.peers().into_iter().filter(|peer| core.log.members().is_voter(*peer)).collect();
    for voter in voters {
        core.send(voter, Message::RequestVote(request));
    }
}

impl Follower {
    pub(crate) fn new(core: &mut Core, leader: Option<NodeId>) -> Self {
        Self {
            leader,
            elapsed: 0,
            timeout: core.election_timeout(),
            // A leader holds all committed entries (Raft §5.4, leader completeness).
            verified: core.log.commit(),
            acknowledged: Index(0),
            owes_ack: false,
        }
    }

    /// See [`Node::fingerprint`](crate::raft::Node::fingerprint).
    pub(crate) fn fingerprint<H: Hasher>(&self, to: &mut H) {
        let Self { leader, elapsed, timeout: _, verified, acknowledged, owes_ack } = self;
        (leader, elapsed, verified, acknowledged, owes_ack).hash(to);
    }
}

impl Candidate {
    fn new(core: &mut Core) -> Self {
        Self { votes: BTreeMap::new(), elapsed: 0, timeout: core.election_timeout() }
    }

    /// See [`Node::fingerprint`](crate::raft::Node::fingerprint).
    pub(crate) fn fingerprint<H: Hasher>(&self, to: &mut H) {
        let Self { votes, elapsed, timeout: _ } = self;
        (votes, elapsed).hash(to);
    }
}
