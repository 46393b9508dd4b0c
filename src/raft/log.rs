//! The log as the core knows it: its tail in memory; how far it is committed, handed out, durable and stored;
//! and the members it sets.
//!
//! ```text
//!        compacted        base                 handed out ≤ commit, durable      last
//!  gone  │  in the store  │  in memory, and as far as `stored` in the store too  │
//! ```
//!
//! The core never reads the disk. An entry leaves memory after it was handed out and is in the log's *store*,
//! from where it can be [read](crate::raft::Effects::read_log) for a follower that lags; compacted entries
//! are available only as part of a snapshot. Everything at or below `base` is committed, so the store will
//! never hold anything else there.
//!
//! Invariants, checked by [`Log::assert_consistent`]:
//!
//! * entries follow `base` without gaps, and their terms never fall;
//! * `compacted ≤ base ≤ handed out ≤ min(commit, durable)`, and `commit`, `durable` and `stored` are `≤ last`;
//! * each run that is being written ends above `durable` and above the run before; likewise for `stored`.

use crate::raft::effects::Mark;
use crate::raft::entry::{Entry, Payload};
use crate::raft::members::Members;
use crate::types::{EntryId, Index, Term};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Entries up to here were compacted.
    compacted: Index,
    /// The entry before the first one in memory.
    base: EntryId,
    entries: VecDeque<Entry>,
    /// The size of all entries here, see [`Entry::size`].
    bytes: usize,
    /// The size of the committed ones among them.
    committed_bytes: usize,
    commit: Index,
    /// Entries up to here were handed out to the state machine.
    handed_out: Index,
    durable: Index,
    /// Entries from here on have not been given to the disk yet.
    unwritten: Index,
    /// Writes that the disk has not finished.
    writing: VecDeque<Run>,
    /// Entries up to here were compacted, or are in the log's store and stay there unchanged unless they are dropped
    /// here too.
    stored: Index,
    /// Writes that the store has not taken over in full, as far as they were not compacted.
    storing: VecDeque<Run>,
    /// The members in force from an index on; never empty. The last one counts (Raft §6).
    members: VecDeque<(Index, Arc<Members>)>,
}

/// Entries up to `last` were written with `mark`.
#[derive(Clone, Copy, Debug)]
struct Run {
    last: Index,
    mark: Mark,
}

/// Where an entry is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// Nowhere: it was compacted into the state.
    Gone,
    /// In the log's store.
    Store,
    /// In memory, or not in the log yet.
    Memory,
}

impl Log {
    /// A restored log: everything in it is durable, everything up to `base` is in the store. The rest counts
    /// as written with [`Mark::RESTORED`].
    pub(crate) fn new(
        compacted: Index,
        base: EntryId,
        entries: Vec<Entry>,
        applied: Index,
        members: Members,
    ) -> Self {
        let mut log = Self::empty(base, members);
        log.compacted = compacted;
        log.bytes = entries.iter().map(Entry::size).sum();
        log.entries = entries.into();
        let last = log.last().index;
        assert!(base.index <= applied && applied <= last, "the state is outside of the log");
        // Applied entries are committed; later members may still be rolled back.
        (log.commit, log.handed_out) = (applied, applied);
        (log.durable, log.unwritten) = (last, last.next());
        if last > base.index {
            log.storing.push_back(Run { last, mark: Mark::RESTORED });
        }
        let committed = log.entries.iter().take_while(|entry| entry.id.index <= applied);
        log.committed_bytes = committed.map(Entry::size).sum();
        log.members[0].0 = applied;
        let later = log.entries.iter().filter(|entry| entry.id.index > applied);
        let changes: Vec<_> = later.filter_map(members_of).collect();
        log.members.extend(changes);
        log
    }

    fn empty(base: EntryId, members: Members) -> Self {
        Self {
            compacted: base.index,
            base,
            entries: VecDeque::new(),
            bytes: 0,
            committed_bytes: 0,
            commit: base.index,
            handed_out: base.index,
            durable: base.index,
            unwritten: base.index.next(),
            writing: VecDeque::new(),
            stored: base.index,
            storing: VecDeque::new(),
            members: VecDeque::from([(base.index, Arc::new(members))]),
        }
    }

    /// Forgets everything: the log begins after `base`, and the state that includes it is durable.
    pub(crate) fn reset(&mut self, base: EntryId, members: Members) {
        *self = Self::empty(base, members);
    }

    pub(crate) fn compacted(&self) -> Index {
        self.compacted
    }

    pub(crate) fn base(&self) -> EntryId {
        self.base
    }

    pub(crate) fn last(&self) -> EntryId {
        self.entries.back().map_or(self.base, |entry| entry.id)
    }

    pub(crate) fn commit(&self) -> Index {
        self.commit
    }

    pub(crate) fn handed_out(&self) -> Index {
        self.handed_out
    }

    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn committed_bytes(&self) -> usize {
        self.committed_bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The members in force: those of the last entry that sets any, committed or not (Raft §6).
    pub(crate) fn members(&self) -> &Arc<Members> {
        &self.members.back().expect("never empty").1
    }

    /// Whether the entry that set the members in force is committed.
    pub(crate) fn are_members_committed(&self) -> bool {
        self.members.back().expect("never empty").0 <= self.commit
    }

    fn position(&self, index: Index) -> Option<usize> {
        let offset = index.0.checked_sub(self.base.index.0 + 1)?;
        usize::try_from(offset).ok().filter(|offset| *offset < self.entries.len())
    }

    /// The term of the entry at `index`, if it is known.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.position(index).map(|position| self.entries[position].id.term)
    }

    /// Whether the log holds this entry (or begins right after it).
    pub(crate) fn matches(&self, id: EntryId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// Where the entry at `index` is available.
    pub(crate) fn availability_of(&self, index: Index) -> Availability {
        match index {
            _ if index <= self.compacted => Availability::Gone,
            _ if index <= self.base.index => Availability::Store,
            _ => Availability::Memory,
        }
    }

    /// The last entry at or below `limit.index` whose term is not above `limit.term`: two logs cannot agree
    /// above it. Skips whole terms, so that a long divergence costs one round trip per term, not per entry
    /// (Raft §5.3).
    pub(crate) fn last_agreeable(&self, limit: EntryId) -> EntryId {
        let end = limit.index.0.saturating_sub(self.base.index.0);
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.entries.len());
        // Terms never fall along the log.
        let below = partition_point(&self.entries, end, |entry| entry.id.term <= limit.term);
        if below > 0 {
            return self.entries[below - 1].id;
        }
        // Terms below the tail are not known: the other side must decide there.
        if limit.index < self.base.index { limit } else { self.base }
    }

    /// Entries from `from` on, up to about `bytes_max` and `count_max`; at least one if there is one.
    pub(crate) fn slice(&self, from: Index, bytes_max: usize, count_max: usize) -> Vec<Entry> {
        let Some(start) = self.position(from) else { return Vec::new() };
        let rest = self.entries.range(start..).take(count_max);
        let count = Entry::fitting(rest.clone(), bytes_max).max(1);
        rest.take(count).cloned().collect()
    }

    /// Appends an entry of our own term.
    pub(crate) fn push(&mut self, term: Term, payload: Payload) -> EntryId {
        let id = EntryId { term, index: self.last().index.next() };
        self.append(Entry { id, payload });
        id
    }

    /// Takes over a leader's entries that follow an entry of this log. Truncates only where they conflict: a
    /// stale, short append must not cut off what was acknowledged since (Raft §5.3).
    pub(crate) fn merge(&mut self, entries: Vec<Entry>) {
        let Some(new) = entries.iter().position(|entry| !self.matches(entry.id)) else { return };
        self.truncate(entries[new].id.index);
        for entry in entries.into_iter().skip(new) {
            self.append(entry);
        }
    }

    fn append(&mut self, entry: Entry) {
        assert_eq!(entry.id.index, self.last().index.next(), "the log has no gaps");
        assert!(entry.id.term >= self.last().term, "terms never fall along the log");
        self.members.extend(members_of(&entry));
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Drops the entries from `from` on.
    fn truncate(&mut self, from: Index) {
        assert!(from > self.commit, "a committed entry is never dropped (state machine safety)");
        while self.last().index >= from {
            let dropped = self.entries.pop_back().expect("above the commit index");
            self.bytes -= dropped.size();
        }
        let kept = from.previous();
        self.durable = self.durable.min(kept);
        self.unwritten = self.unwritten.min(from);
        self.stored = self.stored.min(kept);
        cut(&mut self.writing, self.durable, kept);
        cut(&mut self.storing, self.stored, kept);
        // The first members are committed, so they stay.
        while self.members.back().is_some_and(|(index, _)| *index >= from) {
            self.members.pop_back();
        }
    }

    /// Moves the commit index forward, never back.
    pub(crate) fn commit_to(&mut self, index: Index) {
        assert!(index <= self.last().index, "only what is in the log can be committed");
        let place = |index: Index| usize::try_from(index.0 - self.base.index.0).expect("fits in memory");
        let index = index.max(self.commit);
        let new = self.entries.range(place(self.commit)..place(index));
        self.committed_bytes += new.map(Entry::size).sum::<usize>();
        self.commit = index;
    }

    /// Hands out the entries that may now be applied: committed, and durable here.
    pub(crate) fn take_committed(&mut self) -> Vec<Entry> {
        let end = self.commit.min(self.durable);
        let start = self.handed_out.next();
        if end < start {
            return Vec::new();
        }
        self.handed_out = end;
        let position = self.position(start).expect("what is not applied is not compacted");
        let count = usize::try_from(end.0 - start.0 + 1).expect("fits in memory");
        self.entries.range(position..position + count).cloned().collect()
    }

    /// The entries that the disk has not been given yet. They become durable with `mark`.
    pub(crate) fn take_unwritten(&mut self, mark: Mark) -> Vec<Entry> {
        let last = self.last().index;
        let Some(position) = self.position(self.unwritten) else { return Vec::new() };
        self.unwritten = last.next();
        self.writing.push_back(Run { last, mark });
        self.storing.push_back(Run { last, mark });
        self.entries.range(position..).cloned().collect()
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.unwritten <= self.last().index
    }

    /// Everything written up to `mark` is durable.
    pub(crate) fn persisted(&mut self, mark: Mark) {
        while let Some(run) = self.writing.pop_front_if(|run| run.mark <= mark) {
            self.durable = run.last;
        }
    }

    /// The store holds all writes before `mark`, and that one up to the entry at `last`. Named by marks,
    /// since an index (and even an entry's id) could belong to a write that was overwritten since, see
    /// [`Mark`].
    pub(crate) fn stored(&mut self, mark: Mark, last: Index) {
        while let Some(run) = self.storing.pop_front_if(|run| run.mark < mark) {
            self.stored = run.last;
        }
        if let Some(run) = self.storing.front()
            && run.mark == mark
        {
            self.stored = self.stored.max(run.last.min(last));
            if self.stored == run.last {
                self.storing.pop_front();
            }
        }
    }

    /// Drops entries that were handed out and can be read from the store, until the tail is this small.
    pub(crate) fn trim(&mut self, bytes: usize, count: usize) {
        let end = self.handed_out.min(self.stored);
        while self.base.index < end && (self.bytes > bytes || self.entries.len() > count) {
            self.drop_first();
        }
    }

    /// Forgets the entries up to `through`, in the store as well; their effect is durable in the state.
    pub(crate) fn compact(&mut self, through: Index) {
        assert!(through <= self.handed_out, "only what was applied can be compacted");
        self.compacted = self.compacted.max(through);
        while self.base.index < through {
            self.drop_first();
        }
        // The store is not given them any more.
        self.stored = self.stored.max(through);
        while self.storing.pop_front_if(|run| run.last <= self.stored).is_some() {}
    }

    fn drop_first(&mut self) {
        let dropped = self.entries.pop_front().expect("at or below the last entry");
        self.bytes -= dropped.size();
        self.committed_bytes -= dropped.size();
        self.base = dropped.id;
        while self.members.len() > 1 && self.members[1].0 <= self.base.index {
            self.members.pop_front();
        }
    }

    /// See [`Node::fingerprint`](crate::raft::Node::fingerprint); `persisted` is the last mark that came back.
    pub(crate) fn fingerprint<H: Hasher>(&self, persisted: Mark, to: &mut H) {
        // Both sizes follow from the other fields.
        let Self { base, entries, bytes: _, committed_bytes: _, commit, handed_out, .. } = self;
        let Self { compacted, durable, unwritten, writing, stored, storing, members, .. } = self;
        (compacted, base, entries, commit, handed_out, durable, unwritten, stored, members).hash(to);
        for run in writing {
            (run.last, run.mark.since(persisted)).hash(to);
        }
        // These may be older than the last mark that came back.
        for run in storing {
            (run.last, run.mark.since(persisted), persisted.since(run.mark)).hash(to);
        }
        (writing.len(), storing.len()).hash(to);
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn assert_consistent(&self) {
        let last = self.last().index;
        assert!(self.compacted <= self.base.index);
        assert!(self.base.index <= self.handed_out);
        assert!(self.handed_out <= self.commit.min(self.durable));
        assert!(self.commit <= last && self.durable <= last && self.stored <= last);
        assert!(self.durable < self.unwritten && self.unwritten <= last.next());
        assert_eq!(last.0, self.base.index.0 + self.entries.len() as u64);
        for (reached, runs) in [(self.durable, &self.writing), (self.stored, &self.storing)] {
            let ends = std::iter::once(reached).chain(runs.iter().map(|run| run.last));
            assert!(ends.is_sorted_by(|a, b| a < b));
            assert!(runs.iter().is_sorted_by_key(|run| run.mark));
        }
        assert!(!self.members.is_empty());
        assert!(
            self.members.iter().skip(1).all(|(index, _)| *index > self.base.index),
            "old members are gone"
        );
        assert!(self.committed_bytes <= self.bytes);
    }
}

/// Everything above `kept` was dropped. Runs of which nothing is left are removed, as their end means nothing.
fn cut(runs: &mut VecDeque<Run>, mut reached: Index, kept: Index) {
    runs.retain_mut(|run| {
        run.last = run.last.min(kept);
        let is_needed = run.last > reached;
        reached = reached.max(run.last);
        is_needed
    });
}

fn members_of(entry: &Entry) -> Option<(Index, Arc<Members>)> {
    match &entry.payload {
        Payload::Members(members) => Some((entry.id.index, Arc::new(members.clone()))),
        Payload::Noop | Payload::Command(_) => None,
    }
}

/// `slice::partition_point` for the first `end` elements of a deque.
fn partition_point(entries: &VecDeque<Entry>, end: usize, holds: impl Fn(&Entry) -> bool) -> usize {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(&entries[middle]) { low = middle + 1 } else { high = middle }
    }
    low
}
