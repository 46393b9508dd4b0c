//! The ordered index over all keys, in memory: one for the writer and all readers.
//!
//! A reader fixes a revision, and versions above it are invisible to it: so the index may change meanwhile.
//! It is behind a lock that is held only briefly: a write holds it for one version, and a walk over many keys
//! is divided into chunks, between which others get the lock.
//!
//! Keys whose newest version is a tombstone are kept separately, so that a read of the present never meets
//! what was deleted long ago. What was deleted a moment ago it may have to see (the published revision is a
//! little behind the writer), so there is a short list of the [last deletes](RecentDeletes). A read from before
//! them walks over all deleted keys.

use crate::kv::history::KeyHistory;
use crate::kv::model::{KeyRange, Order};
use crate::kv::read_error::ReadError;
use crate::kv::recent_deletes::RecentDeletes;
use crate::kv::version::Version;
use crate::kv::work::{self, Meter};
use crate::types::Revision;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Reads at this revision see everything.
pub(crate) const NEWEST: Revision = Revision(u64::MAX);

/// How many keys a walk visits before it releases the lock: some tens of microseconds.
pub(crate) const CHUNK_KEYS: usize = 512;

type Histories = BTreeMap<Box<[u8]>, KeyHistory>;

#[derive(Default)]
pub(crate) struct Index {
    /// Keys whose newest version is a put.
    present: Histories,
    /// Keys whose newest version is a tombstone, as long as their past can be read.
    deleted: Histories,
    /// The last that were added to them.
    recent: RecentDeletes,
}

impl Index {
    /// An index of keys in order. Which of the deleted ones were deleted last is not known: reads from before
    /// `current` look at all.
    pub(crate) fn from_sorted(
        present: Vec<(Box<[u8]>, KeyHistory)>,
        deleted: Vec<(Box<[u8]>, KeyHistory)>,
        current: Revision,
    ) -> Self {
        let (present, deleted) = (present.into_iter().collect(), deleted.into_iter().collect());
        Self { present, deleted, recent: RecentDeletes::none_above(current) }
    }

    /// The number of keys that are present.
    pub(crate) fn present(&self) -> u64 {
        self.present.len() as u64
    }

    /// All versions of a key.
    pub(crate) fn history(&self, key: &[u8]) -> Option<&KeyHistory> {
        self.present.get(key).or_else(|| self.deleted.get(key))
    }

    /// The newest version of a key, if it is present.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<Version> {
        self.present.get(key).map(|history| *history.newest())
    }

    /// The version of a key that a read at `revision` sees.
    pub(crate) fn visible_at(&self, key: &[u8], revision: Revision) -> Option<Version> {
        let version = match self.present.get(key) {
            Some(history) => history.at(revision)?,
            // It can only have been present before a tombstone.
            None if revision == NEWEST => return None,
            None => self.deleted.get(key)?.at(revision)?,
        };
        (!version.is_tombstone()).then_some(version)
    }

    /// Shows the keys of a range that a read at `revision` sees, in order, until `visit` breaks, `budget` keys were
    /// looked at, or the range ends.
    pub(crate) fn walk(
        &self,
        range: &KeyRange,
        revision: Revision,
        order: Order,
        budget: usize,
        visit: &mut dyn FnMut(&[u8], Version) -> ControlFlow<()>,
    ) -> Walked {
        let present = within(&self.present, range);
        let hidden = self.deleted_after(revision, range);
        let mut both = Merge::new(present, hidden, order);
        let mut absent = 0;
        for _ in 0..budget {
            let Some((key, history)) = both.next() else { return Walked { rest: None, absent } };
            match history.at(revision).filter(|version| !version.is_tombstone()) {
                Some(version) if visit(key, version).is_break() => return Walked { rest: None, absent },
                Some(_) => {}
                None => absent += 1,
            }
        }
        Walked { rest: both.next().map(|(key, _)| rest(range, key, order)), absent }
    }

    /// Shows all histories from a key on, in order, `budget` at most, until `visit` breaks. Answers the key that
    /// is next, or at which it did.
    pub(crate) fn walk_histories(
        &self,
        start: &[u8],
        budget: usize,
        visit: &mut dyn FnMut(&[u8], &KeyHistory) -> ControlFlow<()>,
    ) -> Option<Box<[u8]>> {
        let range = KeyRange::span(Bytes::copy_from_slice(start), None);
        let (present, deleted) = (within(&self.present, &range), within(&self.deleted, &range));
        let mut both = Merge::new(present, Box::new(deleted), Order::Ascending);
        for _ in 0..budget {
            let (key, history) = both.next()?;
            if visit(key, history).is_break() {
                return Some(key.into());
            }
        }
        both.next().map(|(key, _)| key.into())
    }

    /// Adds the newest version of a key.
    pub(crate) fn push(&mut self, key: &[u8], version: Version) {
        if version.is_tombstone() {
            let (key, mut history) = self.present.remove_entry(key).expect("only what is present is deleted");
            history.push(version);
            self.recent.push(version.revision, &key);
            self.deleted.insert(key, history);
        } else if let Some(history) = self.present.get_mut(key) {
            history.push(version);
        } else if let Some((key, mut history)) = self.take_deleted(key) {
            history.push(version);
            self.present.insert(key, history);
        } else {
            // A copy: the key's bytes belong to a record or a receive buffer.
            self.present.insert(key.into(), KeyHistory::new(version));
        }
    }

    /// Takes back the newest version of a key.
    pub(crate) fn pop(&mut self, key: &[u8]) {
        let Some((key, mut history)) = self.present.remove_entry(key).or_else(|| self.take_deleted(key))
        else {
            return;
        };
        if history.newest().is_tombstone() {
            self.recent.pop();
        }
        if history.pop() {
            let home = if history.newest().is_tombstone() { &mut self.deleted } else { &mut self.present };
            home.insert(key, history);
        }
    }

    /// There will be no more reads below this revision.
    pub(crate) fn compact(&mut self, revision: Revision) {
        self.recent.compact(revision);
    }

    /// Forgets the `count` oldest versions of a key, and the key with the last.
    pub(crate) fn forget(&mut self, key: &[u8], count: usize) {
        for home in [&mut self.present, &mut self.deleted] {
            if let Some(history) = home.get_mut(key) {
                if !history.forget(count) {
                    home.remove(key);
                }
                return;
            }
        }
    }

    fn take_deleted(&mut self, key: &[u8]) -> Option<(Box<[u8]>, KeyHistory)> {
        // Few stores have any, and most puts of a new key need not look.
        if self.deleted.is_empty() { None } else { self.deleted.remove_entry(key) }
    }

    /// The deleted keys of a range of which a read at `revision` may see an older version: without the others
    /// where that is known.
    fn deleted_after(&self, revision: Revision, range: &KeyRange) -> Walk<'_> {
        let Some(recent) = self.recent.above(revision) else {
            return Box::new(within(&self.deleted, range));
        };
        let mut keys: Vec<&[u8]> = recent.filter(|key| range.contains(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        let found = keys.into_iter().filter_map(|key| self.deleted.get_key_value(key));
        Box::new(found.map(|(key, history)| (&key[..], history)))
    }
}

/// What became of a part of a walk.
pub(crate) struct Walked {
    /// What is left of the range, if there may be more to show.
    pub(crate) rest: Option<KeyRange>,
    /// How many keys were looked at that are not there at the revision.
    pub(crate) absent: u64,
}

type Item<'a> = (&'a [u8], &'a KeyHistory);
type Walk<'a> = Box<dyn DoubleEndedIterator<Item = Item<'a>> + 'a>;

fn within<'a>(map: &'a Histories, range: &KeyRange) -> impl DoubleEndedIterator<Item = Item<'a>> + 'a {
    let bounds = (!range.is_empty()).then(|| {
        let end = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        map.range::<[u8], _>((Bound::Included(&range.start[..]), end))
    });
    bounds.into_iter().flatten().map(|(key, history)| (&key[..], history))
}

/// The part of a range from `key` on.
fn rest(range: &KeyRange, key: &[u8], order: Order) -> KeyRange {
    match order {
        Order::Ascending => KeyRange::span(Bytes::copy_from_slice(key), range.end.clone()),
        Order::Descending => {
            let end = KeyRange::key(key).end;
            KeyRange::span(range.start.clone(), end)
        }
    }
}

/// Two walks over different keys as one.
struct Merge<'a, P> {
    present: P,
    deleted: Walk<'a>,
    order: Order,
    /// What was taken from either and not yet answered.
    ahead: (Option<Item<'a>>, Option<Item<'a>>),
}

impl<'a, P: DoubleEndedIterator<Item = Item<'a>>> Merge<'a, P> {
    fn new(present: P, deleted: Walk<'a>, order: Order) -> Self {
        let mut merge = Self { present, deleted, order, ahead: (None, None) };
        merge.ahead = (merge.next_present(), merge.next_deleted());
        merge
    }

    fn next_present(&mut self) -> Option<Item<'a>> {
        match self.order {
            Order::Ascending => self.present.next(),
            Order::Descending => self.present.next_back(),
        }
    }

    fn next_deleted(&mut self) -> Option<Item<'a>> {
        match self.order {
            Order::Ascending => self.deleted.next(),
            Order::Descending => self.deleted.next_back(),
        }
    }
}

impl<'a, P: DoubleEndedIterator<Item = Item<'a>>> Iterator for Merge<'a, P> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let present_first = match self.ahead {
            (None, None) => return None,
            (Some((present, _)), Some((deleted, _))) => match self.order {
                Order::Ascending => present < deleted,
                Order::Descending => present > deleted,
            },
            (present, _) => present.is_some(),
        };
        if present_first {
            let next = self.next_present();
            std::mem::replace(&mut self.ahead.0, next)
        } else {
            let next = self.next_deleted();
            std::mem::replace(&mut self.ahead.1, next)
        }
    }
}

/// The index as the writer and the readers share it.
#[derive(Default)]
pub(crate) struct SharedIndex(RwLock<Index>);

impl SharedIndex {
    pub(crate) fn new(index: Index) -> Self {
        Self(RwLock::new(index))
    }

    /// To be held briefly: the writer waits.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index> {
        // A writer that panicked has ended the node; until then its readers may go on.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held briefly: everybody waits.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Index::walk`] over the whole range, in chunks, as far as the meter allows.
    pub(crate) fn walk(
        &self,
        range: &KeyRange,
        revision: Revision,
        order: Order,
        meter: &mut Meter<'_>,
        visit: &mut dyn FnMut(&[u8], Version) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut left = Some(range.clone());
        while let Some(range) = left {
            let mut allowed = Ok(());
            let walked = self.read().walk(&range, revision, order, CHUNK_KEYS, &mut |key, version| {
                allowed = meter.spend(work::KEY);
                if allowed.is_err() { ControlFlow::Break(()) } else { visit(key, version) }
            });
            allowed?;
            meter.spend_on_absent(walked.absent)?;
            left = walked.rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::compaction::Collected;
    use crate::kv::recent_deletes::{RECENT_DELETES, RECENT_KEY_BYTES};
    use crate::kv::version::Position;
    use proptest::prelude::*;

    fn put(revision: u64) -> Version {
        let (revision, create_revision) = (Revision(revision), Revision(revision));
        Version { revision, sub: 0, value_bytes: 1, create_revision, version: 1 }
    }

    fn tombstone(revision: u64) -> Version {
        Version::tombstone(Position::first_of(Revision(revision)))
    }

    /// What a walk shows that may look at this many keys, and whether they were enough.
    fn walk(index: &Index, revision: u64, order: Order, budget: usize) -> (Vec<Vec<u8>>, bool) {
        let (range, revision, mut keys) = (KeyRange::all(), Revision(revision), Vec::new());
        let walked = index.walk(&range, revision, order, budget, &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        });
        (keys, walked.rest.is_none())
    }

    /// Keys 0, 1, … put at the revisions 1, 2, … and the first `deleted` of them deleted after that.
    fn index(keys: u64, deleted: u64) -> Index {
        let mut index = Index::default();
        (0..keys).for_each(|n| index.push(&n.to_be_bytes(), put(n + 1)));
        (0..deleted).for_each(|n| index.push(&n.to_be_bytes(), tombstone(keys + n + 1)));
        index
    }

    #[test]
    fn a_read_of_the_present_never_meets_what_was_deleted() {
        let index = index(1000, 990);
        for order in [Order::Ascending, Order::Descending] {
            let (keys, all) = walk(&index, 1990, order, 10);
            assert_eq!((keys.len(), all), (10, true));
            // What was published last is a little behind.
            let (keys, all) = walk(&index, 1987, order, 13);
            assert_eq!((keys.len(), all), (13, true));
        }
    }

    /// More deletes than are remembered: then a read of the past looks at all of them.
    #[test]
    fn a_read_of_the_past_finds_what_was_deleted_since() {
        let deleted = RECENT_DELETES as u64 + 10;
        let index = index(deleted, deleted);
        for revision in [deleted, deleted + 5, deleted + 9, deleted + 10, deleted + 11, 2 * deleted] {
            let (keys, _) = walk(&index, revision, Order::Ascending, usize::MAX);
            assert_eq!(keys.len() as u64, 2 * deleted - revision);
        }
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let mut changed = index(4, 2);
        let key = |n: u64| n.to_be_bytes();
        changed.push(&key(0), put(10));
        changed.push(&key(3), tombstone(10));
        changed.push(&key(9), put(10));
        changed.push(&key(2), put(10));
        for n in [2, 9, 3, 0] {
            changed.pop(&key(n));
        }
        let expected = index(4, 2);
        for revision in 0..12 {
            let shown = |index| walk(index, revision, Order::Ascending, usize::MAX);
            assert_eq!(shown(&changed), shown(&expected));
        }
        assert_eq!(changed.recent.size(), expected.recent.size());
    }

    /// A chunk of a walk looks at what it visits and at the recent deletes: at few, whatever was deleted since.
    #[test]
    fn a_chunk_looks_at_few_deletes() {
        let index = index(30_000, 30_000);
        for revision in (30_000..=60_000).step_by(500) {
            let looked_at = index.recent.above(Revision(revision)).map_or(0, Iterator::count);
            assert!(looked_at <= RECENT_DELETES, "{looked_at} at {revision}");
            let (keys, _) = walk(&index, revision, Order::Ascending, CHUNK_KEYS);
            assert!(keys.len() <= CHUNK_KEYS);
        }
    }

    #[derive(Clone, Debug)]
    enum Change {
        /// Puts the key if it is absent and deletes it if it is present, so many times.
        Toggle(u8, u64),
        Put(u8),
        /// Takes back the newest version.
        TakeBack,
        /// Compacts at this many hundredths of the current revision.
        Compact(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => (0..24_u8, 1..400_u64).prop_map(|(key, times)| Change::Toggle(key, times)),
            4 => (0..24_u8).prop_map(Change::Put),
            2 => Just(Change::TakeBack),
            1 => (0..=100_u64).prop_map(Change::Compact),
        ]
    }

    /// An index, and beside it what was done to it.
    #[derive(Default)]
    struct Compared {
        index: SharedIndex,
        /// The key of each revision, from 1 on, and whether it was put.
        changes: Vec<(u8, bool)>,
        compacted: u64,
    }

    impl Compared {
        /// Every fourth is long, so that the bytes of some thirty recent deletes are too many.
        fn key(key: u8) -> Vec<u8> {
            vec![key; if key.is_multiple_of(4) { 32 << 10 } else { 1 }]
        }

        fn is_present(&self, key: u8, revision: u64) -> bool {
            let until = &self.changes[..revision as usize];
            until.iter().rev().find(|(other, _)| *other == key).is_some_and(|(_, put)| *put)
        }

        fn current(&self) -> u64 {
            self.changes.len() as u64
        }

        fn push(&mut self, key: u8, is_put: bool) {
            self.changes.push((key, is_put));
            let version = if is_put { put(self.current()) } else { tombstone(self.current()) };
            self.index.write().push(&Self::key(key), version);
        }

        fn change(&mut self, change: &Change) {
            match *change {
                Change::Toggle(key, times) => {
                    (0..times).for_each(|_| self.push(key, !self.is_present(key, self.current())));
                }
                Change::Put(key) => self.push(key, true),
                Change::TakeBack if self.current() > self.compacted => {
                    let (key, _) = self.changes.pop().expect("above what was compacted");
                    self.index.write().pop(&Self::key(key));
                }
                Change::TakeBack => {}
                Change::Compact(hundredths) => {
                    self.compacted = self.compacted.max(self.current() * hundredths / 100);
                    Collected::default().step(&self.index, Revision(self.compacted), usize::MAX);
                }
            }
        }

        fn check(&self, revision: u64) -> Result<(), TestCaseError> {
            let mut expected: Vec<_> =
                (0..24).filter(|key| self.is_present(*key, revision)).map(Self::key).collect();
            for order in [Order::Ascending, Order::Descending] {
                let (mut keys, mut left) = (Vec::new(), Some(KeyRange::all()));
                while let Some(range) = left {
                    let walked =
                        self.index.read().walk(&range, Revision(revision), order, 5, &mut |key, _| {
                            keys.push(key.to_vec());
                            ControlFlow::Continue(())
                        });
                    left = walked.rest;
                }
                prop_assert!(keys == expected, "at revision {revision}, {order:?}");
                expected.reverse();
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Near or far, before and after a compaction; and what is remembered of deletes stays small.
        #[test]
        fn a_walk_shows_what_was_present(changes in prop::collection::vec(change(), 0..40)) {
            let mut compared = Compared::default();
            for change in &changes {
                compared.change(change);
                let (deletes, bytes) = compared.index.read().recent.size();
                prop_assert!(deletes <= RECENT_DELETES && bytes <= RECENT_KEY_BYTES, "{deletes}, {bytes} bytes");
            }
            let (oldest, newest) = (compared.compacted, compared.current());
            let evenly = (0..=20).map(|part| oldest + (newest - oldest) * part / 20);
            let last = oldest.max(newest.saturating_sub(10))..=newest;
            for revision in evenly.chain(last) {
                compared.check(revision)?;
            }
        }
    }

    #[test]
    fn a_compaction_forgets_the_deletes_before_it() {
        let index = SharedIndex::new(index(100, 100));
        let of_recent = |index: &SharedIndex| index.read().recent.size().0;
        for (compacted, left) in [(100, 100), (150, 50), (200, 0)] {
            Collected::default().step(&index, Revision(compacted), usize::MAX);
            assert_eq!(of_recent(&index), left);
        }
    }

    /// The promise is 100 bytes a key beside the key itself and its first version. A node of the standard library's
    /// map has 11 places, of which ascending inserts fill 6, and what holds the nodes together adds a tenth.
    #[test]
    fn a_key_takes_few_bytes() {
        let place = size_of::<(Box<[u8]>, KeyHistory)>();
        let beside_the_version = place * 11 / 6 * 11 / 10 - size_of::<Version>();
        assert!(beside_the_version <= 100, "{beside_the_version}");
    }
}
