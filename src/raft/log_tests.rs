//! The log's tail against a naive model: a plain vector, and a disk that
//! finishes writes one by one.

use crate::raft::effects::Mark;
use crate::raft::entry::{Entry, Payload};
use crate::raft::log::{Availability, Log};
use crate::raft::members::Members;
use crate::types::{EntryId, Index, NodeId, Term};
use proptest::prelude::*;

/// An entry's content follows from its id, as in a real cluster. Some set members.
fn entry(index: u64, term: u64) -> Entry {
    let payload = match (index + term) % 4 {
        0 => Payload::Members(Members::of([NodeId(index), NodeId(term + 100)], [], [])),
        1 => Payload::Noop,
        _ => Payload::Command(vec![b'x'; usize::try_from(index % 7).expect("small")].into()),
    };
    Entry { id: EntryId::new(term, index), payload }
}

fn founding() -> Members {
    Members::of([NodeId(1)], [], [])
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    /// Merge entries after an uncommitted place; terms rise by the given steps.
    Merge {
        place: u64,
        terms: Vec<u64>,
    },
    /// Merge entries that are there already, and perhaps one more.
    Repeat {
        place: u64,
        count: u64,
        more: bool,
    },
    Write,
    Finish,
    Commit(u64),
    Apply,
    /// The store takes over the oldest durable write, or a part of it.
    Store(usize),
    /// Trim the tail to this many entries, if possible.
    Trim(usize),
    Compact(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Push),
        3 => (0..20_u64, prop::collection::vec(prop_oneof![4 => Just(0), 1 => 1..3_u64], 1..5))
            .prop_map(|(place, terms)| Step::Merge { place, terms }),
        1 => (0..20_u64, 0..6_u64, any::<bool>())
            .prop_map(|(place, count, more)| Step::Repeat { place, count, more }),
        4 => Just(Step::Write),
        4 => Just(Step::Finish),
        2 => (0..20_u64).prop_map(Step::Commit),
        2 => Just(Step::Apply),
        4 => (1..6_usize).prop_map(Step::Store),
        1 => (0..6_usize).prop_map(Step::Trim),
        1 => (0..20_u64).prop_map(Step::Compact),
    ]
}

/// All entries since index 1; nothing is ever forgotten here.
#[derive(Debug)]
struct Model {
    entries: Vec<Entry>,
    compacted: u64,
    base: u64,
    commit: u64,
    applied: u64,
    /// The highest term that any entry had: later leaders have higher ones.
    term: u64,
    disk: Vec<EntryId>,
    writes: Vec<(Mark, Vec<EntryId>)>,
    marks: u64,
    store: Vec<EntryId>,
    /// Durable writes that the store has not taken over.
    backlog: Vec<(Mark, Vec<EntryId>)>,
}

fn overwrite(disk: &mut Vec<EntryId>, write: &[EntryId]) {
    let Some(first) = write.first() else { return };
    disk.truncate(usize::try_from(first.index.0 - 1).expect("small"));
    disk.extend(write);
}

impl Model {
    fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    fn term_at(&self, index: u64) -> u64 {
        let position = usize::try_from(index).expect("small");
        if position == 0 { 0 } else { self.entries[position - 1].id.term.0 }
    }

    fn merge(&mut self, new: &[Entry]) {
        for entry in new {
            let position = usize::try_from(entry.id.index.0 - 1).expect("small");
            if self.entries.get(position).is_some_and(|here| here.id == entry.id) {
                continue;
            }
            self.entries.truncate(position);
            self.entries.push(entry.clone());
        }
        self.term = self.term.max(self.term_at(self.last()));
    }

    fn members(&self) -> Members {
        let set = self.entries.iter().rev().find_map(|entry| match &entry.payload {
            Payload::Members(members) => Some(members.clone()),
            _ => None,
        });
        set.unwrap_or_else(founding)
    }

    /// How much of the log no crash can take away: it is on the disk, and none of the writes still under way
    /// will remove it.
    fn safe(&self) -> u64 {
        self.lasting(&self.disk, self.writes.iter())
    }

    /// Likewise, how much can be read from the store, now and later.
    fn safely_stored(&self) -> u64 {
        self.lasting(&self.store, self.backlog.iter().chain(&self.writes))
    }

    fn lasting<'a>(&self, disk: &[EntryId], to_come: impl Iterator<Item = &'a (Mark, Vec<EntryId>)>) -> u64 {
        let mut disk = disk.to_vec();
        let mut safe = self.last();
        let states = to_come.map(Some).chain([None]);
        for write in states {
            let equal = disk.iter().zip(&self.entries).take_while(|(a, b)| **a == b.id).count();
            safe = safe.min(equal as u64);
            if let Some((_, write)) = write {
                overwrite(&mut disk, write);
            }
        }
        safe
    }
}

/// A number from `low` to `high`, inclusive.
fn between(low: u64, high: u64, pick: u64) -> u64 {
    low + pick % (high - low + 1)
}

fn take(log: &mut Log, model: &mut Model, step: Step) {
    match step {
        Step::Push => {
            model.term = model.term.max(1);
            let new = entry(model.last() + 1, model.term);
            let id = log.push(Term(model.term), new.payload.clone());
            assert_eq!(id, new.id);
            model.entries.push(new);
        }
        Step::Merge { place, terms } => {
            let place = between(model.commit, model.last(), place);
            // A later leader's entries have its term, or terms between.
            let mut term = model.term_at(place).max(1);
            let new: Vec<Entry> = (place + 1..)
                .zip(terms)
                .map(|(index, rise)| {
                    term += rise;
                    entry(index, term)
                })
                .collect();
            log.merge(new.clone());
            model.merge(&new);
        }
        Step::Repeat { place, count, more } => {
            let place = between(model.commit, model.last(), place);
            let end = model.last().min(place + count);
            let mut again: Vec<Entry> =
                (place + 1..=end).map(|index| entry(index, model.term_at(index))).collect();
            if more && end == model.last() {
                again.push(entry(end + 1, model.term_at(end).max(1)));
            }
            log.merge(again.clone());
            model.merge(&again);
        }
        Step::Write => {
            if log.has_unwritten() {
                model.marks += 1;
                let mark = Mark(model.marks);
                let entries = log.take_unwritten(mark);
                model.writes.push((mark, entries.iter().map(|entry| entry.id).collect()));
            }
        }
        Step::Finish => {
            if !model.writes.is_empty() {
                let (mark, write) = model.writes.remove(0);
                overwrite(&mut model.disk, &write);
                log.persisted(mark);
                model.backlog.push((mark, write));
            }
        }
        Step::Commit(pick) => {
            model.commit = between(model.commit, model.last(), pick);
            log.commit_to(Index(model.commit));
        }
        Step::Apply => {
            let end = model.commit.min(log.durable().0);
            let expected: Vec<Entry> =
                (model.applied + 1..=end).map(|index| entry(index, model.term_at(index))).collect();
            assert_eq!(log.take_committed(), expected);
            model.applied = model.applied.max(end);
        }
        Step::Store(count) => {
            if let Some((mark, write)) = model.backlog.first_mut() {
                let part: Vec<EntryId> = write.drain(..count.min(write.len())).collect();
                let mark = *mark;
                if write.is_empty() {
                    model.backlog.remove(0);
                }
                overwrite(&mut model.store, &part);
                log.stored(mark, Index(model.store.len() as u64));
            }
        }
        Step::Trim(count) => {
            log.trim(usize::MAX, count);
            model.base = log.base().index.0;
            assert!(model.base <= model.applied, "what is not handed out stays in memory");
        }
        Step::Compact(pick) => {
            model.compacted = between(model.compacted, model.applied, pick);
            model.base = model.base.max(model.compacted);
            log.compact(Index(model.compacted));
        }
    }
}

fn compare(log: &Log, model: &Model) {
    log.assert_consistent();
    assert_eq!(log.last(), EntryId::new(model.term_at(model.last()), model.last()));
    assert_eq!(log.compacted().0, model.compacted);
    assert_eq!(log.base(), EntryId::new(model.term_at(model.base), model.base));
    let stored = model.safely_stored();
    for index in 0..=model.last() + 1 {
        let place = match index {
            _ if index <= model.compacted => Availability::Gone,
            _ if index <= model.base => Availability::Store,
            _ => Availability::Memory,
        };
        assert_eq!(log.availability_of(Index(index)), place, "the place of {index}");
        assert!(place != Availability::Store || index <= stored, "{index} cannot be read from the store");
    }
    for index in 0..=model.last() + 1 {
        let here = (model.base..=model.last()).contains(&index);
        assert_eq!(log.term_at(Index(index)), here.then(|| Term(model.term_at(index))), "term at {index}");
    }
    assert_eq!(**log.members(), model.members());
    let kept = usize::try_from(model.base).expect("small")..;
    assert_eq!(log.bytes(), model.entries[kept].iter().map(Entry::size).sum::<usize>());
    assert!(log.durable().0 <= model.safe(), "{} is claimed, {} is safe", log.durable(), model.safe());
    if model.writes.is_empty() && !log.has_unwritten() {
        assert_eq!(log.durable().0, model.last(), "all writes have ended");
    }
}

/// The last entry at or below the limit with a term not above it, by looking at each.
fn agreeable(model: &Model, limit: EntryId) -> EntryId {
    let fits = |index: &u64| *index <= limit.index.0 && model.term_at(*index) <= limit.term.0;
    match (model.base..=model.last()).rev().find(fits) {
        Some(index) => EntryId::new(model.term_at(index), index),
        // Below the tail the other side decides.
        None if limit.index.0 < model.base => limit,
        None => EntryId::new(model.term_at(model.base), model.base),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn log_is_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut log = Log::new(Index(0), EntryId::ZERO, Vec::new(), Index(0), founding());
        let mut model = Model {
            entries: Vec::new(), compacted: 0, base: 0, commit: 0, applied: 0, term: 0,
            disk: Vec::new(), writes: Vec::new(), marks: 0, store: Vec::new(), backlog: Vec::new(),
        };
        for step in steps {
            take(&mut log, &mut model, step);
            compare(&log, &model);
        }
        for index in 0..=model.last() + 2 {
            for term in 0..=model.term + 1 {
                let limit = EntryId::new(term, index);
                prop_assert_eq!(log.last_agreeable(limit), agreeable(&model, limit));
            }
        }
    }

    /// A slice holds as many entries as fit, without gaps, and at least one.
    #[test]
    fn slices_fit(
        count in 1..20_u64, base in 0..10_u64, from in 1..22_u64,
        bytes_max in 1..400_usize, count_max in 1..8_usize,
    ) {
        let base = base.min(count);
        let all: Vec<Entry> = (1..=count).map(|index| entry(index, 1)).collect();
        let kept = all.iter().filter(|entry| entry.id.index.0 > base).cloned().collect();
        let log = Log::new(Index(0), EntryId::new(u64::from(base > 0), base), kept, Index(base), founding());
        let slice = log.slice(Index(from), bytes_max, count_max);
        let rest: Vec<Entry> = all.into_iter().filter(|entry| entry.id.index.0 >= from).collect();
        if from <= base || from > count {
            prop_assert!(slice.is_empty());
        } else {
            prop_assert_eq!(&slice[..], &rest[..slice.len()]);
            let size = |entries: &[Entry]| entries.iter().map(Entry::size).sum::<usize>();
            prop_assert!(!slice.is_empty() && slice.len() <= count_max);
            prop_assert!(slice.len() == 1 || size(&slice) <= bytes_max);
            let is_longest = slice.len() == count_max || slice.len() == rest.len()
                || size(&rest[..=slice.len()]) > bytes_max;
            prop_assert!(is_longest, "another entry would have fitted");
        }
    }

    /// A restored log is the log that was written: everything in it is durable, the
    /// applied part is committed, and members behind it are in force.
    #[test]
    fn restored_logs_go_on(count in 0..12_u64, base in 0..12_u64, applied in 0..12_u64) {
        let base = base.min(count);
        let applied = applied.clamp(base, count);
        let all: Vec<Entry> = (1..=count).map(|index| entry(index, 1)).collect();
        let members_at = |index: u64| {
            let set = all.iter().filter(|entry| entry.id.index.0 <= index).filter_map(|entry| match &entry.payload {
                Payload::Members(members) => Some(members.clone()),
                _ => None,
            });
            set.last().unwrap_or_else(founding)
        };
        let kept = all.iter().filter(|entry| entry.id.index.0 > base).cloned().collect();
        let id = EntryId::new(u64::from(base > 0), base);
        let log = Log::new(Index(0), id, kept, Index(applied), members_at(applied));
        log.assert_consistent();
        prop_assert_eq!(log.durable(), Index(count));
        prop_assert_eq!((log.commit(), log.handed_out()), (Index(applied), Index(applied)));
        prop_assert!(!log.has_unwritten());
        prop_assert_eq!(&**log.members(), &members_at(count));
        let committed = all.iter().filter(|entry| (base + 1..=applied).contains(&entry.id.index.0));
        prop_assert_eq!(log.committed_bytes(), committed.map(Entry::size).sum::<usize>());
    }
}
