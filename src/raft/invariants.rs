//! What must hold on one node after every input, in its new state and compared to the one before. The numbers
//! are those of DESIGN.md. Checked in tests and debug builds.

use crate::raft::core::Core;
use crate::raft::role::Role;
use crate::types::{EntryId, Index, NodeId, Term};

/// The part of a node's state that the invariants are about.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    term: Term,
    vote: Option<NodeId>,
    leader: Option<NodeId>,
    leads: bool,
    compacted: Index,
    base: EntryId,
    last: EntryId,
    commit: EntryIdAt,
    handed_out: Index,
    durable: Index,
}

/// An index with its term where the log still knows it.
type EntryIdAt = (Index, Option<Term>);

impl Observed {
    pub(crate) fn of(core: &Core, role: &Role) -> Self {
        let leader = match role {
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(core.id),
        };
        let observed = Self {
            term: core.term(),
            vote: core.vote(),
            leader,
            leads: matches!(role, Role::Leader(_)),
            compacted: core.log.compacted(),
            base: core.log.base(),
            last: core.log.last(),
            commit: (core.log.commit(), core.log.term_at(core.log.commit())),
            handed_out: core.log.handed_out(),
            durable: core.log.durable(),
        };
        observed.assert_now(core, role);
        observed
    }

    fn assert_now(&self, core: &Core, role: &Role) {
        // I7: snapshot ≤ applied ≤ min(committed, durable).
        assert!(self.base.index <= self.handed_out, "I7: applied is behind the snapshot");
        assert!(self.handed_out <= self.commit.0.min(self.durable), "I7: applied too early");
        if let Role::Leader(leader) = role {
            // I3: a leader has voted for itself in its term.
            assert_eq!(self.vote, Some(core.id), "I3: a leader without its own vote");
            // I5: what a leader counts, it holds.
            let overcounted = leader.progress.values().any(|progress| progress.matched > self.last.index);
            assert!(!overcounted, "I5: a follower is counted beyond the log's end");
        }
        if let Role::Follower(follower) = role {
            // Else a commit index could be followed beyond the log's end.
            assert!(follower.verified <= self.last.index, "I5: a follower has verified more than it holds");
        }
        if matches!(role, Role::Candidate(_)) {
            assert_eq!(self.vote, Some(core.id), "I3: a candidate without its own vote");
        }
    }

    /// Whether a step may lead from here to `now`.
    pub(crate) fn assert_allows(&self, now: &Self) {
        // I1: terms never fall.
        assert!(now.term >= self.term, "I1: the term fell");
        let same_term = now.term == self.term;
        // I2: one vote per term.
        if same_term && self.vote.is_some() {
            assert_eq!(now.vote, self.vote, "I2: a second vote in a term");
        }
        // I3: one leader per term, as far as one node can see.
        if let (true, Some(before), Some(after)) = (same_term, self.leader, now.leader) {
            assert_eq!(before, after, "I3: two leaders in a term");
        }
        // I4: a leader only appends.
        if same_term && self.leads && now.leads {
            assert!(now.last >= self.last, "I4: a leader dropped entries");
        }
        // I6: what is committed stays.
        assert!(now.commit.0 >= self.commit.0, "I6: the commit index fell");
        if let ((index, Some(before)), (same, Some(after))) = (self.commit, now.commit)
            && index == same
        {
            assert_eq!(before, after, "I6: a committed entry changed");
        }
        assert!(now.handed_out >= self.handed_out, "I6: an entry was applied twice");
        assert!(now.base.index >= self.base.index, "I6: the log grew at its beginning");
        assert!(now.compacted >= self.compacted, "I6: what was compacted came back");
    }
}
