//! What is in the journal but not in the store.
//!
//! Most of it never gets there: it is compacted while it still waits here. It shares the entries' bytes with others in
//! memory, so nothing is read back from the disk. Its owner keeps it below a limit; the journal bounds it in any case,
//! since everything here is in the journal too.

use crate::raft::{Entry, HardState, Persist};
use crate::types::{EntryId, Index};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A durable write to the journal.
#[derive(Debug)]
pub(crate) struct Group {
    /// The number of its last record.
    pub number: u64,
    pub jobs: Vec<Persist>,
    /// Whether it does more than go on where the group before it ends.
    replaces: bool,
}

/// What compaction has dropped from the backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The last record of the last group.
    pub number: u64,
    /// The last one in these groups.
    pub hard_state: Option<HardState>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// The log was compacted up to there.
    pub compaction: Option<EntryId>,
    /// More waits than should be.
    pub is_over: bool,
    /// The journal is short of segments.
    pub is_urgent: bool,
}

#[derive(Debug)]
pub(crate) struct Backlog {
    /// Once more bytes than this wait, the store takes over what has waited longest.
    bytes_max: usize,
    state: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    groups: VecDeque<Group>,
    bytes: usize,
    /// How many of the groups replace entries.
    replacing: usize,
    /// Where the log ends after the last group, if that is known.
    end: Option<Index>,
    compaction: Option<EntryId>,
    is_urgent: bool,
    is_closed: bool,
}

impl Group {
    pub(crate) fn new(number: u64, jobs: Vec<Persist>) -> Self {
        Self { number, jobs, replaces: false }
    }

    /// Its lowest entry, and its highest.
    fn extent(&self) -> Option<(Index, Index)> {
        let with_entries = || self.jobs.iter().filter_map(|job| job.entries.first().zip(job.entries.last()));
        let first = with_entries().map(|(first, _)| first.id.index).min()?;
        let last = with_entries().map(|(_, last)| last.id.index).max()?;
        Some((first, last))
    }

    /// Whether it does more than go on behind `end`.
    fn replaces_entries(&self, end: Option<Index>) -> bool {
        let is_reset = self.jobs.iter().any(|job| job.reset.is_some());
        is_reset || self.extent().is_some_and(|(first, _)| end.is_some_and(|end| first <= end))
    }

    /// Where the log ends after it, if it changes that.
    fn end(&self) -> Option<Index> {
        let end = |job: &Persist| job.entries.last().map(|last| last.id).or(job.reset);
        self.jobs.iter().rev().find_map(end).map(|id| id.index)
    }

    /// The last one that it sets.
    pub(crate) fn hard_state(&self) -> Option<HardState> {
        self.jobs.iter().rev().find_map(|job| job.hard_state)
    }
}

impl Queue {
    fn push(&mut self, mut group: Group) {
        self.bytes += size(&group.jobs);
        group.replaces = group.replaces_entries(self.end);
        self.replacing += usize::from(group.replaces);
        self.end = group.end().or(self.end);
        self.groups.push_back(group);
    }

    fn pop(&mut self) -> Option<Group> {
        let group = self.groups.pop_front()?;
        self.bytes -= size(&group.jobs);
        self.replacing -= usize::from(group.replaces);
        Some(group)
    }
}

impl Backlog {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, group: Group) {
        let mut state = self.state();
        state.push(group);
        self.wake(&state);
    }

    /// The log was compacted.
    pub(crate) fn compact(&self, through: EntryId) {
        let mut state = self.state();
        state.compaction = Some(through);
        self.wake(&state);
    }

    /// The compaction has to wait until something is stored; a newer one takes its place.
    pub(crate) fn put_back(&self, compaction: EntryId) {
        let mut state = self.state();
        state.compaction.get_or_insert(compaction);
        // The journal's writer may have tried it in the storer's place.
        self.wake(&state);
    }

    pub(crate) fn take_compaction(&self) -> Option<EntryId> {
        self.state().compaction.take()
    }

    /// The journal will soon need another segment.
    pub(crate) fn hurry(&self) {
        let mut state = self.state();
        state.is_urgent = true;
        self.wake(&state);
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    fn wake(&self, state: &Queue) {
        if self.is_due(state) {
            self.changed.notify_one();
        }
    }

    fn is_over(&self, state: &Queue) -> bool {
        !state.groups.is_empty() && state.bytes >= self.bytes_max
    }

    fn is_due(&self, state: &Queue) -> bool {
        state.is_urgent || state.compaction.is_some() || self.is_over(state)
    }

    /// Waits until there is something to do. False: nothing more will come. What is left stays in the journal.
    pub(crate) fn wait(&self) -> bool {
        let idle = |state: &mut Queue| !state.is_closed && !self.is_due(state);
        let state = self.changed.wait_while(self.state(), idle);
        !state.unwrap_or_else(PoisonError::into_inner).is_closed
    }

    /// What there is to do. A compaction and the need for a segment are not told again.
    pub(crate) fn look(&self) -> Option<Work> {
        let mut state = self.state();
        self.is_due(&state).then(|| Work {
            is_over: self.is_over(&state),
            compaction: state.compaction.take(),
            is_urgent: std::mem::take(&mut state.is_urgent),
        })
    }

    /// Takes the next groups, of about this many bytes, as one.
    pub(crate) fn take(&self, bytes_max: usize) -> Option<Group> {
        let mut state = self.state();
        let mut taken = state.pop()?;
        let mut bytes = size(&taken.jobs);
        while bytes < bytes_max
            && let Some(group) = state.pop()
        {
            bytes += size(&group.jobs);
            taken.number = group.number;
            taken.jobs.extend(group.jobs);
        }
        Some(taken)
    }

    /// Whether any of the groups replaces or removes entries: of those in the store, which end with `top`, or of those
    /// in other groups. Such a group must be stored, or the store would keep what is no longer in the log.
    pub(crate) fn replaces_entries(&self, top: Index) -> bool {
        let state = self.state();
        let first = state.groups.iter().find_map(Group::extent);
        state.replacing > 0 || first.is_some_and(|(first, _)| first <= top)
    }

    /// Drops the first groups, as far as all of their entries are above `top`, where the store ends, and compacted up to
    /// `through`. No group may [replace entries](Self::replaces_entries).
    pub(crate) fn drop_compacted(&self, top: Index, through: Index) -> Option<Dropped> {
        let mut state = self.state();
        let mut count = 0;
        for (group, place) in state.groups.iter().zip(1..) {
            match group.extent() {
                None => {}
                Some((first, last)) if first > top && last <= through => count = place,
                Some(_) => break,
            }
        }
        let groups: Vec<Group> = (0..count).map_while(|_| state.pop()).collect();
        // The memory is freed while nobody waits for the lock.
        drop(state);
        let hard_state = groups.iter().rev().find_map(Group::hard_state);
        Some(Dropped { number: groups.last()?.number, hard_state })
    }
}

fn size(jobs: &[Persist]) -> usize {
    jobs.iter().flat_map(|job| &job.entries).map(Entry::size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    /// The storer sleeps when the journal's writer takes the compaction and finds that it has to wait.
    #[test]
    fn a_compaction_that_is_put_back_wakes_the_storer() {
        let backlog = Arc::new(Backlog::new(1 << 20));
        let (woke, awake) = std::sync::mpsc::channel();
        let storer = std::thread::spawn({
            let backlog = backlog.clone();
            move || woke.send(backlog.wait())
        });
        assert!(awake.recv_timeout(Duration::from_millis(50)).is_err(), "there is nothing to do yet");
        backlog.put_back(EntryId::new(1, 1));
        assert_eq!(awake.recv_timeout(Duration::from_secs(30)), Ok(true));
        storer.join().unwrap().unwrap();
    }
}
