//! The versions of one key, without their values, in as few bytes as they need.
//!
//! Most keys have one version, and most reads want the newest: it is stored in full, in the index itself.
//! Older versions omit what follows from their neighbors: within a *life* (from a creation to the next
//! tombstone) the puts are numbered without gaps and share a create revision, which is that of the life's
//! first put. It has to be stored only where a compaction removed that put.
//!
//! An older version takes 20 bytes, and with what a longer list has beside them at most 24. The allocator rounds up to
//! its own sizes: a single one takes 32 bytes, several about 20 to 25 each.

use crate::kv::version::{Position, Version};
use crate::types::Revision;
use std::collections::VecDeque;

/// Up to this many older versions are stored in an allocation without spare room.
const FEW: usize = 32;

/// The versions of one key, oldest first; never empty.
#[derive(Clone, Debug)]
pub(crate) struct KeyHistory {
    newest: Version,
    older: Older,
}

/// All but the newest version, oldest first.
#[derive(Clone, Debug)]
enum Older {
    /// [`FEW`] at most, often none; everything omitted follows from them.
    Few(Box<[Compact]>),
    Many(Box<Many>),
}

#[derive(Clone, Debug)]
struct Many {
    versions: VecDeque<Compact>,
    /// The oldest in full: its life may have begun before it.
    oldest: Version,
}

/// A version in 20 bytes. The revision is in two parts so that it needs no alignment.
#[derive(Clone, Copy, Debug)]
struct Compact {
    revision: [u32; 2],
    sub: u32,
    value_bytes: u32,
    /// 0 in a tombstone; the largest number stands for itself and everything above.
    version: u32,
}

const _: () = assert!(size_of::<Compact>() == 20 && size_of::<KeyHistory>() == 48);

impl Compact {
    fn revision(self) -> Revision {
        Revision(u64::from(self.revision[0]) << 32 | u64::from(self.revision[1]))
    }
}

impl From<Version> for Compact {
    fn from(version: Version) -> Self {
        let revision = version.revision.get();
        Self {
            revision: [(revision >> 32) as u32, revision as u32],
            sub: version.sub,
            value_bytes: version.value_bytes,
            version: u32::try_from(version.version).unwrap_or(u32::MAX),
        }
    }
}

impl KeyHistory {
    /// A history of one version.
    pub(crate) fn new(first: Version) -> Self {
        Self { newest: first, older: Older::Few(Box::default()) }
    }

    /// Adds the newest version.
    pub(crate) fn push(&mut self, version: Version) {
        debug_assert!(self.newest.position() < version.position(), "versions are added in order");
        let oldest = self.oldest();
        let old = Compact::from(std::mem::replace(&mut self.newest, version));
        match &mut self.older {
            Older::Few(few) if few.len() < FEW && self.newest.tells(&oldest) => {
                *few = few.iter().copied().chain([old]).collect();
            }
            Older::Few(few) => {
                let versions = few.iter().copied().chain([old]).collect();
                self.older = Older::Many(Box::new(Many { versions, oldest }));
            }
            Older::Many(many) => {
                let versions = &mut many.versions;
                if versions.len() == versions.capacity() {
                    // Not doubled: every byte per version counts.
                    versions.reserve_exact(versions.len() / 16 + 1);
                }
                versions.push_back(old);
            }
        }
    }

    /// Removes the newest version. False: it was the only one.
    #[must_use]
    pub(crate) fn pop(&mut self) -> bool {
        let Some(before) = self.len().checked_sub(2).and_then(|place| self.get(place)) else {
            return false;
        };
        match &mut self.older {
            Older::Few(few) => *few = few[..few.len() - 1].into(),
            Older::Many(many) => drop(many.versions.pop_back()),
        }
        self.newest = before;
        true
    }

    pub(crate) fn len(&self) -> usize {
        1 + match &self.older {
            Older::Few(few) => few.len(),
            Older::Many(many) => many.versions.len(),
        }
    }

    /// The version at an index, counted from the oldest.
    pub(crate) fn get(&self, place: usize) -> Option<Version> {
        if place + 1 == self.len() {
            return Some(self.newest);
        }
        let compact = self.compact(place)?;
        let (create_revision, version) = match compact.version {
            0 => (Revision(0), 0),
            version if version != u32::MAX && (version as usize) <= place + 1 => {
                let first = self.compact(place + 1 - version as usize)?;
                (first.revision(), u64::from(version))
            }
            // The life began before the oldest version.
            version => match &self.older {
                Older::Few(_) => (self.newest.create_revision, u64::from(version)),
                Older::Many(many) => (many.oldest.create_revision, many.oldest.version + place as u64),
            },
        };
        let (revision, sub, value_bytes) = (compact.revision(), compact.sub, compact.value_bytes);
        Some(Version { revision, sub, value_bytes, create_revision, version })
    }

    pub(crate) fn newest(&self) -> &Version {
        &self.newest
    }

    /// The newest version that is not newer than `revision`; may be a tombstone.
    pub(crate) fn at(&self, revision: Revision) -> Option<Version> {
        if self.newest.revision <= revision {
            return Some(self.newest);
        }
        self.get(self.count_through(revision).checked_sub(1)?)
    }

    /// Whether it includes the version at a position.
    pub(crate) fn contains(&self, at: Position) -> bool {
        self.at(at.revision).is_some_and(|version| version.position() == at)
    }

    /// How many versions are not newer than `revision`.
    pub(crate) fn count_through(&self, revision: Revision) -> usize {
        if self.newest.revision <= revision {
            return self.len();
        }
        match &self.older {
            Older::Few(few) => few.partition_point(|version| version.revision() <= revision),
            Older::Many(many) => many.versions.partition_point(|version| version.revision() <= revision),
        }
    }

    /// How many of the oldest versions nobody can read once reads below `compacted` are refused: all before
    /// the newest version not above `compacted`, and that one too if it is a tombstone.
    pub(crate) fn garbage(&self, compacted: Revision) -> usize {
        let through = self.count_through(compacted);
        match through.checked_sub(1).and_then(|last| self.get(last)) {
            Some(last) if last.is_tombstone() => through,
            Some(_) => through - 1,
            None => 0,
        }
    }

    /// Removes the `count` oldest versions. False: none is left.
    #[must_use]
    pub(crate) fn forget(&mut self, count: usize) -> bool {
        let Some(oldest) = self.get(count) else {
            return false;
        };
        match &mut self.older {
            Older::Many(many) if self.newest.tells(&oldest) && many.versions.len() - count <= FEW => {
                self.older = Older::Few(many.versions.iter().skip(count).copied().collect());
            }
            Older::Many(many) => {
                let versions = &mut many.versions;
                drop(versions.drain(..count));
                if versions.capacity() > 2 * versions.len() {
                    versions.shrink_to(versions.len() + versions.len() / 16);
                }
                many.oldest = oldest;
            }
            Older::Few(few) if self.newest.tells(&oldest) => *few = few[count..].into(),
            Older::Few(few) => {
                let versions = few[count..].iter().copied().collect();
                self.older = Older::Many(Box::new(Many { versions, oldest }));
            }
        }
        true
    }

    fn oldest(&self) -> Version {
        self.get(0).expect("a history is never empty")
    }

    fn compact(&self, place: usize) -> Option<Compact> {
        match &self.older {
            Older::Few(few) => few.get(place).copied(),
            Older::Many(many) => many.versions.get(place).copied(),
        }
    }
}

impl Version {
    /// Whether everything that the compact form of the `oldest` version omits follows from it and the newest version.
    fn tells(&self, oldest: &Version) -> bool {
        let same_life = !self.is_tombstone() && self.create_revision == oldest.create_revision;
        (oldest.version <= 1 || same_life) && self.version < u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(revision: u64) -> Version {
        let (create_revision, version) = (Revision(2), revision / 2);
        Version { revision: Revision(revision), sub: 7, value_bytes: 9, create_revision, version }
    }

    /// Versions at the revisions 2, 4, 6, …
    fn history(length: u64) -> KeyHistory {
        let mut history = KeyHistory::new(put(2));
        (2..=length).for_each(|n| history.push(put(2 * n)));
        history
    }

    #[test]
    fn every_length_answers_alike() {
        for length in [1, 2, 31, 32, 33, 34, 35, 64, 65, 1000] {
            let history = history(length);
            assert_eq!(history.len() as u64, length);
            assert_eq!(history.at(Revision(1)), None);
            for n in 1..=length {
                assert_eq!(history.at(Revision(2 * n)), Some(put(2 * n)));
                assert_eq!(history.at(Revision(2 * n + 1)), Some(put(2 * n)));
                assert_eq!(history.garbage(Revision(2 * n)) as u64, n - 1);
            }
        }
    }

    #[test]
    fn a_compacted_tombstone_is_garbage_itself() {
        let mut history = history(2);
        history.push(Version::tombstone(Position { revision: Revision(7), sub: 3 }));
        assert_eq!(history.garbage(Revision(6)), 1);
        assert_eq!(history.garbage(Revision(7)), 3);
    }

    /// At most 24 bytes are requested for each version but the first.
    #[test]
    fn an_older_version_takes_few_bytes() {
        let mut history = history(1);
        for n in 2..5000_u64 {
            history.push(put(2 * n));
            let bytes = match &history.older {
                Older::Few(few) => size_of_val(&few[..]),
                Older::Many(many) => size_of::<Many>() + many.versions.capacity() * size_of::<Compact>(),
            };
            assert!(bytes as u64 <= 24 * (n - 1), "{bytes} bytes for {n} versions");
        }
    }

    /// A put count beyond what the compact form can hold.
    #[test]
    fn a_key_may_be_put_more_often_than_32_bits_count() {
        let many = |n: u64| Version { version: u64::from(u32::MAX) - 3 + n, ..put(2 * n) };
        let mut history = KeyHistory::new(many(1));
        (2..40).for_each(|n| history.push(many(n)));
        for forgotten in 0..38 {
            assert_eq!(history.get(0), Some(many(forgotten + 1)));
            assert_eq!(history.at(Revision(79)), Some(many(39)));
            assert!(history.forget(1));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put,
        Delete,
        Forget(usize),
        Pop,
    }

    proptest! {
        /// Compared with a list of full versions.
        #[test]
        fn nothing_is_lost_in_the_compact_form(
            first in 1..4_u64,
            steps in proptest::collection::vec(
                prop_oneof![
                    6 => Just(Step::Put),
                    1 => Just(Step::Delete),
                    1 => (0..12_usize).prop_map(Step::Forget),
                    1 => Just(Step::Pop)
                ],
                0..150
            )
        ) {
            let create_revision = Revision(5 - first);
            let mut list = vec![Version { create_revision, version: first, ..put(4) }];
            let mut history = KeyHistory::new(list[0]);
            for (n, step) in (5..).zip(steps) {
                let newest = list[list.len() - 1];
                match step {
                    Step::Put => {
                        let revision = Revision(n);
                        let create_revision = if newest.is_tombstone() { revision } else { newest.create_revision };
                        let version = newest.version + 1;
                        list.push(Version { revision, create_revision, version, sub: 1, value_bytes: n as u32 });
                        history.push(list[list.len() - 1]);
                    }
                    Step::Delete if newest.is_tombstone() => {}
                    Step::Delete => {
                        list.push(Version::tombstone(Position::first_of(Revision(n))));
                        history.push(list[list.len() - 1]);
                    }
                    Step::Forget(count) if count < list.len() => {
                        list.drain(..count);
                        prop_assert!(history.forget(count));
                    }
                    Step::Forget(count) => prop_assert!(!history.forget(count)),
                    Step::Pop if list.len() > 1 => {
                        list.pop();
                        prop_assert!(history.pop());
                    }
                    Step::Pop => prop_assert!(!history.pop()),
                }
                let held: Vec<_> = (0..history.len()).filter_map(|place| history.get(place)).collect();
                prop_assert_eq!(&held, &list);
            }
        }
    }
}
