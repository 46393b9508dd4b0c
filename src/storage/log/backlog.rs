//! What is in the journal but not yet in the store.
//!
//! It shares the entries' bytes with others in memory, so nothing is read back from the disk. The journal
//! bounds it, since everything here is in the journal too.

use crate::raft::{Entry, Persist};
use crate::types::EntryId;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Work for the store.
#[derive(Debug)]
pub(crate) enum Item {
    /// A durable group, with the number of its last record.
    Group(u64, Vec<Persist>),
    Compact(EntryId),
}

#[derive(Debug)]
pub(crate) struct Backlog {
    /// The store takes over once this many bytes are waiting: large runs cost less.
    due_bytes: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    compactions: usize,
    /// Whether the journal is short of segments.
    is_urgent: bool,
    is_closed: bool,
}

impl Backlog {
    pub(crate) fn new(due_bytes: usize) -> Self {
        Self { due_bytes, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, item: Item) {
        let mut state = self.state();
        match &item {
            Item::Group(_, jobs) => state.bytes += size(jobs),
            Item::Compact(_) => state.compactions += 1,
        }
        state.items.push_back(item);
        if self.is_due(&state) {
            self.changed.notify_one();
        }
    }

    /// The journal will soon need another segment.
    pub(crate) fn hurry(&self) {
        self.state().is_urgent = true;
        self.changed.notify_one();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    fn is_due(&self, state: &State) -> bool {
        let is_much = !state.items.is_empty() && state.bytes >= self.due_bytes;
        state.is_urgent || state.compactions > 0 || is_much
    }

    /// Waits until there is something to do. False: nothing more will come. What is left stays in the journal.
    pub(crate) fn wait(&self) -> bool {
        let idle = |state: &mut State| !state.is_closed && !self.is_due(state);
        let state = self.changed.wait_while(self.state(), idle);
        !state.unwrap_or_else(PoisonError::into_inner).is_closed
    }

    /// Whether there is something to do, and whether the journal is short of segments.
    pub(crate) fn look(&self) -> (bool, bool) {
        let mut state = self.state();
        let is_due = self.is_due(&state);
        (is_due, std::mem::take(&mut state.is_urgent))
    }

    /// Takes the next work: groups of about this many bytes, or a compaction.
    pub(crate) fn take(&self, bytes_max: usize) -> Option<Item> {
        let mut state = self.state();
        let mut taken = match state.items.pop_front()? {
            Item::Compact(through) => {
                state.compactions -= 1;
                return Some(Item::Compact(through));
            }
            Item::Group(number, jobs) => (number, jobs),
        };
        let mut bytes = size(&taken.1);
        while bytes < bytes_max
            && let Some(Item::Group(number, jobs)) =
                state.items.pop_front_if(|item| matches!(item, Item::Group(..)))
        {
            bytes += size(&jobs);
            taken.0 = number;
            taken.1.extend(jobs);
        }
        state.bytes -= bytes;
        Some(Item::Group(taken.0, taken.1))
    }
}

pub(crate) fn size(jobs: &[Persist]) -> usize {
    jobs.iter().flat_map(|job| &job.entries).map(Entry::size).sum()
}
