//! What a server of the test world would find after a crash.

use crate::raft::store::{Image, Job, Store};
use kontiki::raft::{Entry, HardState, Mark, Members, Payload, Persist, Restored};
use kontiki::types::{EntryId, Index};
use std::collections::VecDeque;

/// A state machine that remembers the order of everything it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub applied: EntryId,
    pub members: Members,
    /// Depends on each applied entry and on their order.
    pub hash: u64,
}

impl State {
    pub fn apply(&mut self, entry: &Entry) {
        assert_eq!(entry.id.index, self.applied.index.next(), "an entry was skipped or applied twice");
        self.applied = entry.id;
        if let Payload::Members(members) = &entry.payload {
            self.members = members.clone();
        }
        for byte in format!("{entry:?}").bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A disk: what is durable, and the jobs that are not done yet.
#[derive(Clone, Debug, Default, Hash)]
pub struct Disk {
    pub hard_state: HardState,
    pub log: Image,
    /// What can be read of it.
    pub store: Store,
    pub state: State,
    /// Whether jobs wait until the test lets them finish.
    pub held: bool,
    /// Whether a start loads no more of the log than it must.
    pub loads_little: bool,
    jobs: VecDeque<Job>,
}

impl Disk {
    pub fn new(hard_state: HardState, entries: Vec<Entry>, state: State) -> Self {
        let log = Image { entries, ..Image::default() };
        Self { hard_state, store: Store::new(log.clone()), log, state, ..Self::default() }
    }

    pub fn write(&mut self, persist: Persist) {
        self.jobs.push_back(Job::Write(persist));
    }

    /// The log up to `through` is not needed any more.
    pub fn forget(&mut self, through: Index) {
        self.jobs.push_back(Job::Forget(through));
    }

    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Finishes the oldest job; returns the mark if it was a write.
    pub fn finish_one(&mut self) -> Option<Mark> {
        let job = self.jobs.pop_front()?;
        let mark = match &job {
            Job::Write(persist) => {
                self.make_durable(persist);
                Some(persist.mark)
            }
            Job::Forget(through) => {
                self.log.forget(*through);
                None
            }
            Job::Replay(_) => None,
        };
        self.store.push(job);
        mark
    }

    fn make_durable(&mut self, persist: &Persist) {
        if let Some(hard_state) = persist.hard_state {
            let same = hard_state.term == self.hard_state.term;
            assert!(hard_state.term >= self.hard_state.term, "a durable term fell");
            assert!(!same || self.hard_state.vote.is_none() || hard_state.vote == self.hard_state.vote);
            self.hard_state = hard_state;
        }
        self.log.write(persist);
    }

    /// Power is cut: what was not finished is gone.
    pub fn lose_jobs(&mut self) {
        self.jobs.clear();
        self.store.crash(&self.log);
    }

    pub fn last(&self) -> EntryId {
        self.log.last()
    }

    /// Whether the entry would survive a crash, in the log or as part of the state.
    pub fn holds(&self, id: EntryId) -> bool {
        id.index <= self.state.applied.index || self.log.holds(id)
    }

    /// Whether a server may claim that it holds everything up to `index`.
    pub fn reaches(&self, index: Index) -> bool {
        index <= self.state.applied.index.max(self.last().index)
    }

    /// What a start finds. The store reports later how much of it it holds.
    pub fn restored(&self) -> Restored {
        // Only what was applied and what is in the store may be left where it is.
        let may_stay = |entry: &&Entry| entry.id.index <= self.state.applied.index && self.store.is_idle();
        let little = self.log.entries.iter().take_while(may_stay).count();
        let left = if self.loads_little { little } else { 0 };
        Restored {
            hard_state: self.hard_state,
            compacted: self.log.base.index,
            base: left.checked_sub(1).map_or(self.log.base, |last| self.log.entries[last].id),
            entries: self.log.entries[left..].to_vec(),
            applied: self.state.applied,
            members: self.state.members.clone(),
        }
    }
}
