//! Elections: asking for votes, giving them, and winning (Raft §5.2, §5.4.1; thesis §4.2.3, §9.6).

use crate::raft::core::Core;
use crate::raft::members::Tally;
use crate::raft::message::{Message, RequestVote, Vote};
use crate::raft::next::Next;
use crate::raft::role::{Candidate, Role};
use crate::types::NodeId;

/// A peer asks for a vote. Its term is not below ours: we have already entered the term of a real candidacy
/// that was higher.
pub(crate) fn handle_request(core: &mut Core, role: &mut Role, from: NodeId, request: RequestVote) {
    let granted = if request.pre { would_vote(core, role, request) } else { vote(core, role, from, request) };
    // A rejection carries our term, so that a candidate that is behind learns about it.
    let term = if request.pre && granted { request.term } else { core.term() };
    let answer = Message::Vote(Vote { term, granted, pre: request.pre });
    core.send(from, answer);
}

/// Whether a leader is alive, so that requests for votes are ignored: a node that was cut off must not depose
/// a working leader (thesis §4.2.3).
pub(crate) fn is_leader_alive(core: &Core, role: &Role) -> bool {
    match role {
        Role::Leader(_) => true,
        Role::Follower(follower) => {
            follower.leader.is_some() && follower.elapsed < core.options.election_ticks_min
        }
        Role::PreCandidate(_) | Role::Candidate(_) => false,
    }
}

fn would_vote(core: &Core, role: &Role, request: RequestVote) -> bool {
    // A vote needs the disk. Promising one without it would only drive terms up.
    request.term > core.term()
        && !is_leader_alive(core, role)
        && !core.is_disk_stalled()
        && is_up_to_date(core, request)
}

fn vote(core: &mut Core, role: &mut Role, from: NodeId, request: RequestVote) -> bool {
    let waits = match role {
        Role::Follower(follower) => follower.leader.is_none(),
        Role::PreCandidate(_) => true,
        Role::Candidate(_) | Role::Leader(_) => false,
    };
    // The answer may have been lost: the same candidate gets it again.
    let free = core.vote().map_or(waits, |voted_for| voted_for == from);
    if !free || !is_up_to_date(core, request) {
        return false;
    }
    core.vote_for(from);
    match role {
        Role::Follower(follower) => follower.elapsed = 0,
        _ => role.become_next(core, Next::Follow(None)),
    }
    true
}

/// Raft §5.4.1: the later last term wins, then the longer log. The order of
/// `EntryId` is exactly that.
fn is_up_to_date(core: &Core, request: RequestVote) -> bool {
    request.last >= core.log.last()
}

impl Candidate {
    pub(crate) fn handle_vote(&mut self, core: &Core, from: NodeId, granted: bool) {
        // The first answer counts: repeats of it change nothing.
        self.votes.entry(from).or_insert(granted);
        debug_assert!(core.log.members().contains(core.id));
    }

    /// The result of the election so far. Only voters are counted, each once.
    pub(crate) fn tally(&self, core: &Core) -> Tally {
        core.log.members().tally(|voter| self.votes.get(&voter).copied())
    }

    pub(crate) fn tick(&mut self, core: &Core) -> Next {
        // The requests for votes leave with our own vote: the voters' time begins when it is durable.
        if !core.is_hard_state_durable() {
            return Next::Stay;
        }
        self.elapsed += 1;
        if self.elapsed >= self.timeout { Next::PreCampaign } else { Next::Stay }
    }
}

/// What follows from a vote that came in, or from our own becoming durable.
pub(crate) fn after_vote(core: &Core, role: &Role) -> Next {
    let (candidate, won) = match role {
        Role::PreCandidate(candidate) => (candidate, Next::Campaign { transfer: false }),
        Role::Candidate(candidate) => (candidate, Next::Lead),
        Role::Follower(_) | Role::Leader(_) => return Next::Stay,
    };
    match candidate.tally(core) {
        Tally::Won => won,
        Tally::Lost => Next::Follow(None),
        Tally::Open => Next::Stay,
    }
}
