//! What a server of the test world would find after a crash.

use kontiki::raft::{Entry, HardState, Mark, Members, Payload, Persist, Restored};
use kontiki::types::{EntryId, Index};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

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

/// One thing that a disk does, in order.
#[derive(Clone, Debug)]
enum Job {
    Write(Persist),
    Forget(EntryId),
}

impl Hash for Job {
    fn hash<H: Hasher>(&self, to: &mut H) {
        std::mem::discriminant(self).hash(to);
        match self {
            // Its mark follows from its place.
            Self::Write(Persist { mark: _, hard_state, reset, entries }) => {
                (hard_state, reset, entries).hash(to)
            }
            Self::Forget(base) => base.hash(to),
        }
    }
}

/// A disk: what is durable, and the jobs that are not done yet.
#[derive(Clone, Debug, Default, Hash)]
pub struct Disk {
    pub hard_state: HardState,
    pub base: EntryId,
    pub entries: Vec<Entry>,
    pub state: State,
    /// Whether jobs wait until they are told to finish.
    pub held: bool,
    jobs: VecDeque<Job>,
}

impl Disk {
    pub fn new(hard_state: HardState, entries: Vec<Entry>, state: State) -> Self {
        Self { hard_state, entries, state, ..Self::default() }
    }

    pub fn write(&mut self, persist: Persist) {
        self.jobs.push_back(Job::Write(persist));
    }

    /// The log up to `base` is not needed any more.
    pub fn forget(&mut self, base: EntryId) {
        self.jobs.push_back(Job::Forget(base));
    }

    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Finishes the oldest job; answers the mark if it was a write.
    pub fn finish_one(&mut self) -> Option<Mark> {
        match self.jobs.pop_front()? {
            Job::Write(persist) => {
                let mark = persist.mark;
                self.make_durable(persist);
                Some(mark)
            }
            Job::Forget(base) => {
                if base.index > self.base.index && self.log_holds(base) {
                    let count = usize::try_from(base.index.0 - self.base.index.0).expect("small");
                    self.entries.drain(..count);
                    self.base = base;
                }
                None
            }
        }
    }

    fn make_durable(&mut self, persist: Persist) {
        if let Some(hard_state) = persist.hard_state {
            let same = hard_state.term == self.hard_state.term;
            assert!(hard_state.term >= self.hard_state.term, "a durable term fell");
            assert!(!same || self.hard_state.vote.is_none() || hard_state.vote == self.hard_state.vote);
            self.hard_state = hard_state;
        }
        if let Some(base) = persist.reset {
            self.base = base;
            self.entries.clear();
        }
        let Some(first) = persist.entries.first() else { return };
        let keep = first.id.index.0.checked_sub(self.base.index.0 + 1).expect("behind the base");
        let keep = usize::try_from(keep).expect("small");
        assert!(keep <= self.entries.len(), "a write leaves a gap in the log on disk");
        self.entries.truncate(keep);
        self.entries.extend(persist.entries);
    }

    /// Power is cut: what was not finished is gone.
    pub fn lose_jobs(&mut self) {
        self.jobs.clear();
    }

    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    fn log_holds(&self, id: EntryId) -> bool {
        if id == self.base {
            return true;
        }
        let Some(offset) = id.index.0.checked_sub(self.base.index.0 + 1) else { return false };
        self.entries.get(usize::try_from(offset).expect("small")).is_some_and(|entry| entry.id == id)
    }

    /// Whether the entry would survive a crash, in the log or as part of the state.
    pub fn holds(&self, id: EntryId) -> bool {
        id.index <= self.state.applied.index || self.log_holds(id)
    }

    /// Whether a server may claim that it holds everything up to `index`.
    pub fn reaches(&self, index: Index) -> bool {
        index <= self.state.applied.index.max(self.last().index)
    }

    pub fn restored(&self) -> Restored {
        Restored {
            hard_state: self.hard_state,
            base: self.base,
            entries: self.entries.clone(),
            applied: self.state.applied,
            members: self.state.members.clone(),
        }
    }
}
