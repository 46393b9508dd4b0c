//! The versions of one key, without their values.

use crate::kv::record::Position;
use crate::types::Revision;
use imbl::Vector;
use std::sync::Arc;

/// What the index knows of one version of a key: enough for every question
/// but the one for the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The revision that made it.
    pub(crate) revision: Revision,
    /// Its place among the changes of that revision.
    pub(crate) sub: u32,
    /// The size of the value in bytes.
    pub(crate) value_bytes: u32,
    /// The revision of the key's creation; 0 in a tombstone.
    pub(crate) create_revision: Revision,
    /// The number of puts since creation; 0 in a tombstone.
    pub(crate) version: u64,
}

impl Version {
    /// Says that the key is absent from `at` on.
    pub(crate) fn tombstone(at: Position) -> Self {
        Self { revision: at.revision, sub: at.sub, value_bytes: 0, create_revision: Revision(0), version: 0 }
    }

    /// Where its record is.
    pub(crate) fn position(&self) -> Position {
        Position { revision: self.revision, sub: self.sub }
    }

    /// Whether it says that the key is absent.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.version == 0
    }
}

/// From so many versions on, copying them all for a new one costs more than a tree.
const FEW: usize = 16;

/// The versions of one key, oldest first; never empty.
///
/// Immutable parts are shared with older copies: a new version costs O(1) for
/// few versions and O(log n) for many, and most keys have just one.
#[derive(Clone, Debug)]
pub(crate) enum KeyHistory {
    /// The common case: no allocation.
    One(Version),
    /// Up to [`FEW`]: an allocation of the exact size.
    Few(Arc<[Version]>),
    /// Any number. Its first chunk alone has room for 64.
    Many(Arc<Vector<Version>>),
}

impl KeyHistory {
    /// A history of one version.
    pub(crate) fn new(first: Version) -> Self {
        Self::One(first)
    }

    /// Adds the newest version.
    pub(crate) fn push(&mut self, version: Version) {
        debug_assert!(self.newest().position() < version.position(), "versions are added in order");
        match self {
            Self::One(first) => *self = Self::Few([*first, version].into()),
            Self::Few(versions) if versions.len() < FEW => {
                *versions = versions.iter().copied().chain([version]).collect();
            }
            Self::Few(versions) => {
                *self = Self::Many(Arc::new(versions.iter().copied().chain([version]).collect()));
            }
            Self::Many(versions) => Arc::make_mut(versions).push_back(version),
        }
    }

    /// The number of versions.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Few(versions) => versions.len(),
            Self::Many(versions) => versions.len(),
        }
    }

    /// The version at a place, counted from the oldest.
    pub(crate) fn get(&self, place: usize) -> Option<&Version> {
        match self {
            Self::One(first) => (place == 0).then_some(first),
            Self::Few(versions) => versions.get(place),
            Self::Many(versions) => versions.get(place),
        }
    }

    /// The newest version.
    pub(crate) fn newest(&self) -> &Version {
        self.get(self.len() - 1).expect("a history is never empty")
    }

    /// The newest version that is not newer than `revision`, be it a tombstone.
    pub(crate) fn at(&self, revision: Revision) -> Option<&Version> {
        let newest = self.newest();
        if newest.revision <= revision {
            return Some(newest);
        }
        self.get(self.count_through(revision).checked_sub(1)?)
    }

    /// How many versions are not newer than `revision`.
    pub(crate) fn count_through(&self, revision: Revision) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle) {
                Some(version) if version.revision <= revision => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// How many of the oldest versions nobody can read any more once all below
    /// `compacted` is refused: all before the newest not above it, and that one
    /// too if it only says that the key is absent.
    pub(crate) fn garbage(&self, compacted: Revision) -> usize {
        let through = self.count_through(compacted);
        match through.checked_sub(1).and_then(|last| self.get(last)) {
            Some(last) if last.is_tombstone() => through,
            Some(_) => through - 1,
            None => 0,
        }
    }

    /// Forgets the `count` oldest versions, and says so with false if none is left.
    #[must_use]
    pub(crate) fn forget(&mut self, count: usize) -> bool {
        let left = self.len().saturating_sub(count);
        if left == 0 {
            return false;
        }
        if left == 1 {
            *self = Self::One(*self.newest());
        } else if left <= FEW {
            *self = Self::Few((count..self.len()).filter_map(|place| self.get(place).copied()).collect());
        } else if let Self::Many(versions) = self {
            let versions = Arc::make_mut(versions);
            *versions = versions.split_off(count);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(revision: u64) -> Version {
        Version {
            revision: Revision(revision),
            sub: 0,
            value_bytes: 0,
            create_revision: Revision(2),
            version: revision - 1,
        }
    }

    /// Versions at the revisions 2, 4, 6, …
    fn history(length: u64) -> KeyHistory {
        let mut history = KeyHistory::new(put(2));
        (2..=length).for_each(|n| history.push(put(2 * n)));
        history
    }

    #[test]
    fn the_index_stays_small() {
        assert_eq!(size_of::<Version>(), 32);
        assert_eq!(size_of::<KeyHistory>(), 40);
    }

    #[test]
    fn every_length_answers_alike() {
        for length in [1, 2, 15, 16, 17, 18, 64, 65, 1000] {
            let history = history(length);
            assert_eq!(history.len() as u64, length);
            assert_eq!(history.at(Revision(1)), None);
            for n in 1..=length {
                assert_eq!(history.at(Revision(2 * n)), Some(&put(2 * n)));
                assert_eq!(history.at(Revision(2 * n + 1)), Some(&put(2 * n)));
                assert_eq!(history.garbage(Revision(2 * n)) as u64, n - 1);
            }
        }
    }

    #[test]
    fn forgetting_keeps_the_newest() {
        for length in [1, 2, 17, 18, 100] {
            for count in 0..=length {
                let mut history = history(length);
                let left = history.forget(count as usize);
                assert_eq!(left, count < length);
                if left {
                    assert_eq!(history.len() as u64, length - count);
                    assert_eq!(history.get(0), Some(&put(2 * (count + 1))));
                    assert_eq!(history.newest(), &put(2 * length));
                }
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
}
