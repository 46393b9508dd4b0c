//! The acknowledged writes that are remembered, to be compared afterwards.

use std::collections::HashMap;

/// The most keys that are remembered.
const MOST: usize = 2000;

/// The newest acknowledged write of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub revision: i64,
    /// The tag of its value.
    pub tag: u64,
}

/// The keys whose number `every` divides. It starts with all keys and becomes coarser when there are too
/// many: a short run is compared in full.
#[derive(Clone, Debug)]
pub struct Sample {
    every: u64,
    keys: HashMap<u64, Acknowledged>,
}

impl Default for Sample {
    fn default() -> Self {
        Self { every: 1, keys: HashMap::new() }
    }
}

impl Sample {
    /// Records an acknowledged write; the order of the calls does not matter.
    pub fn note(&mut self, key: u64, write: Acknowledged) {
        if !key.is_multiple_of(self.every) {
            return;
        }
        let newest = self.keys.entry(key).or_insert(write);
        if newest.revision < write.revision {
            *newest = write;
        }
        while self.keys.len() > MOST {
            self.coarsen(self.every * 2);
        }
    }

    /// Adds another sample. Only keys that both have recorded all along are kept.
    pub fn merge(&mut self, other: &Self) {
        self.coarsen(self.every.max(other.every));
        other.keys.iter().for_each(|(key, write)| self.note(*key, *write));
    }

    pub fn sorted(&self) -> Vec<(u64, Acknowledged)> {
        let mut keys: Vec<_> = self.keys.iter().map(|(key, write)| (*key, *write)).collect();
        keys.sort_unstable_by_key(|(key, _)| *key);
        keys
    }

    fn coarsen(&mut self, every: u64) {
        self.every = every;
        self.keys.retain(|key, _| key.is_multiple_of(every));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(revision: i64) -> Acknowledged {
        Acknowledged { revision, tag: revision as u64 * 10 }
    }

    #[test]
    fn the_newest_write_stays_whatever_the_order() {
        let (mut one, mut other) = (Sample::default(), Sample::default());
        one.note(5, write(9));
        one.note(5, write(7));
        other.note(5, write(8));
        one.merge(&other);
        assert_eq!(one.sorted(), [(5, write(9))]);
    }

    #[test]
    fn few_keys_are_all_kept_and_many_are_thinned_out() {
        let mut sample = Sample::default();
        (0..MOST as u64).for_each(|key| sample.note(key, write(1)));
        assert_eq!(sample.sorted().len(), MOST);
        (0..1_000_000).for_each(|key| sample.note(key, write(2)));
        assert!((MOST / 2..=MOST).contains(&sample.sorted().len()), "{}", sample.sorted().len());
    }

    #[test]
    fn a_key_that_one_of_two_did_not_watch_is_not_compared() {
        let (mut coarse, mut fine) = (Sample::default(), Sample::default());
        (0..MOST as u64 + 1).for_each(|key| coarse.note(key, write(1)));
        // The coarse one no longer notes odd keys, so it cannot know this later write.
        fine.note(3, write(1));
        coarse.note(3, write(2));
        fine.merge(&coarse);
        assert!(fine.sorted().iter().all(|(key, _)| key % 2 == 0));
    }
}
