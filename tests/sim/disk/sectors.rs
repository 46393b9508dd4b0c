//! One file of a fixed length that is written anywhere: what the process sees, what the platter holds.

use super::file::Survival;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// A file of which a sector is written as a whole.
#[derive(Clone, Debug)]
pub struct SectorFile {
    /// What the process sees, through the page cache.
    bytes: Vec<u8>,
    /// The sectors that were written and not synced.
    dirty: BTreeSet<usize>,
    /// Of the sectors of which the platter holds something else, what it holds.
    differs: BTreeMap<usize, Vec<u8>>,
    /// A sector that cannot be read back from the platter.
    unreadable: Option<usize>,
    /// The end of what was ever written.
    used: usize,
    sector: usize,
}

impl SectorFile {
    /// Zeros that were synced.
    pub fn new(bytes: usize, sector: usize) -> Self {
        Self {
            bytes: vec![0; bytes],
            dirty: BTreeSet::new(),
            differs: BTreeMap::new(),
            unreadable: None,
            used: 0,
            sector,
        }
    }

    /// What the process sees.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The end of what was ever written.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether the platter holds what it was told to.
    pub fn is_sound(&self) -> bool {
        self.differs.keys().all(|sector| self.dirty.contains(sector)) && self.unreadable.is_none()
    }

    fn range(&self, sector: usize) -> std::ops::Range<usize> {
        let start = sector * self.sector;
        start..(start + self.sector).min(self.bytes.len())
    }

    fn keep_platter(&mut self, sector: usize) {
        let seen = self.bytes[self.range(sector)].to_vec();
        self.differs.entry(sector).or_insert(seen);
    }

    /// Writes into the page cache.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        for sector in offset / self.sector..end.div_ceil(self.sector) {
            self.keep_platter(sector);
            self.dirty.insert(sector);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.used = self.used.max(end);
    }

    /// Writes the dirty pages to the platter.
    pub fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.settle(sector);
        }
    }

    fn settle(&mut self, sector: usize) {
        self.differs.remove(&sector);
        if self.unreadable == Some(sector) {
            self.unreadable = None;
        }
    }

    /// A sync that fails: some dirty pages, one at least, are not written, but
    /// all count as clean from now on. Answers whether there was anything to lose.
    pub fn fail_sync(&mut self, rng: &mut Rng) -> bool {
        let dirty: Vec<usize> = std::mem::take(&mut self.dirty).into_iter().collect();
        let Some(certain) = rng.choice(&dirty).copied() else { return false };
        for sector in dirty {
            if sector != certain && rng.bool() {
                self.settle(sector);
            }
        }
        true
    }

    /// A sync of which one sector lands in the place of another. Answers whether there were two places.
    pub fn misdirect_sync(&mut self, rng: &mut Rng) -> bool {
        let dirty: Vec<usize> = self.dirty.iter().copied().collect();
        let others: Vec<usize> =
            (0..self.used.div_ceil(self.sector)).filter(|sector| !self.dirty.contains(sector)).collect();
        let (Some(victim), Some(target)) = (rng.choice(&dirty).copied(), rng.choice(&others).copied()) else {
            self.sync();
            return false;
        };
        let old = self.differs.get(&victim).cloned().expect("a dirty sector differs");
        let written = self.bytes[self.range(victim)].to_vec();
        self.sync();
        self.differs.insert(victim, old);
        self.differs.insert(target, written);
        true
    }

    /// A bit flips on the platter.
    pub fn flip(&mut self, bit: usize) {
        let sector = bit / 8 / self.sector;
        self.keep_platter(sector);
        let at = bit / 8 - sector * self.sector;
        if let Some(byte) = self.differs.get_mut(&sector).and_then(|content| content.get_mut(at)) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// A sector can no longer be read.
    pub fn spoil(&mut self, at: usize) {
        self.unreadable = Some(at / self.sector);
    }

    /// Whether reading all of it back from the platter fails.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable.is_some()
    }

    /// The clean pages leave the cache; the dirty ones stay.
    pub fn evict(&mut self) {
        for (sector, content) in std::mem::take(&mut self.differs) {
            if self.dirty.contains(&sector) {
                self.differs.insert(sector, content);
            } else {
                let range = self.range(sector);
                self.bytes[range].copy_from_slice(&content);
            }
        }
    }

    /// The cache is gone. Answers how many sectors that were not synced are lost.
    pub fn cut_power(&mut self, survival: Survival, rng: &mut Rng) -> usize {
        let dirty = std::mem::take(&mut self.dirty);
        let ordered = match survival {
            Survival::Nothing => 0,
            Survival::Prefix => rng.usize(..=dirty.len()),
            Survival::Subset | Survival::Everything => dirty.len(),
        };
        let mut lost = 0;
        for (number, sector) in dirty.into_iter().enumerate() {
            if number >= ordered || (survival == Survival::Subset && rng.bool()) {
                lost += 1;
            } else {
                self.settle(sector);
            }
        }
        self.evict();
        lost
    }
}
