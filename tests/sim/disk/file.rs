//! One append-only file: what the process wrote, what the platter holds.

use fastrand::Rng;
use std::collections::BTreeMap;

/// Which of the written but unsynced sectors a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// Those up to some point.
    Prefix,
    /// Any.
    Subset,
    /// All of them.
    Everything,
}

impl Survival {
    /// One at random; the nastier ones more often.
    pub fn random(rng: &mut Rng) -> Self {
        match rng.u8(..10) {
            0 | 1 => Self::Nothing,
            2..=5 => Self::Prefix,
            6..=8 => Self::Subset,
            _ => Self::Everything,
        }
    }
}

/// A file of which only the end is ever written. A sector is written as a whole.
#[derive(Clone, Debug)]
pub struct SimFile {
    /// What the process sees, through the page cache.
    bytes: Vec<u8>,
    /// Below it the pages are clean: the platter holds the same, but for `differs`.
    clean: usize,
    /// Clean sectors of which the platter holds something else, by their number.
    differs: BTreeMap<usize, Vec<u8>>,
    /// Where what a failed sync dropped begins, by the sector.
    dropped: BTreeMap<usize, usize>,
    /// A clean sector that cannot be read back from the platter.
    unreadable: Option<usize>,
    sector: usize,
}

impl SimFile {
    /// An empty file on a device with sectors of this many bytes.
    pub fn new(sector: usize) -> Self {
        Self {
            bytes: Vec::new(),
            clean: 0,
            differs: BTreeMap::new(),
            dropped: BTreeMap::new(),
            unreadable: None,
            sector,
        }
    }

    /// What the process sees.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For writing at the end, and only there.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The number of bytes that were synced.
    pub fn synced(&self) -> usize {
        self.clean
    }

    /// Whether something was written since the last sync.
    pub fn is_dirty(&self) -> bool {
        self.clean < self.bytes.len()
    }

    /// Whether the platter holds what it was given.
    pub fn is_sound(&self) -> bool {
        self.differs.is_empty() && self.unreadable.is_none()
    }

    /// The sectors that wait for a sync.
    fn dirty_sectors(&self) -> std::ops::Range<usize> {
        if self.is_dirty() { self.clean / self.sector..self.bytes.len().div_ceil(self.sector) } else { 0..0 }
    }

    /// What the platter holds of a sector before the dirty pages are written.
    fn platter(&self, sector: usize) -> Vec<u8> {
        if let Some(other) = self.differs.get(&sector) {
            return other.clone();
        }
        let start = sector * self.sector;
        let mut content = self.bytes[start.min(self.clean)..(start + self.sector).min(self.clean)].to_vec();
        content.resize(self.sector, 0);
        content
    }

    /// Writes the dirty pages to the platter.
    pub fn sync(&mut self) {
        if !self.is_sound() {
            for sector in self.dirty_sectors() {
                self.heal(sector);
            }
        }
        self.clean = self.bytes.len();
    }

    /// Where the first of the pages that a failed sync dropped begins.
    pub fn hole(&self) -> Option<usize> {
        self.dropped.values().next().copied()
    }

    fn heal(&mut self, sector: usize) {
        self.differs.remove(&sector);
        self.dropped.remove(&sector);
        if self.unreadable == Some(sector) {
            self.unreadable = None;
        }
    }

    /// A sync that fails: some dirty pages, at least one, are not written, but all count as clean from now
    /// on, as on ext4 (ATC'20, "Can applications recover from fsync failures?"). Answers whether there was
    /// anything to lose.
    pub fn fail_sync(&mut self, rng: &mut Rng) -> bool {
        let dirty = self.dirty_sectors();
        if dirty.is_empty() {
            return false;
        }
        let certain = rng.usize(dirty.clone());
        for sector in dirty {
            if sector == certain || rng.bool() {
                let old = self.platter(sector);
                self.differs.insert(sector, old);
                self.dropped.insert(sector, self.clean.max(sector * self.sector));
            } else {
                self.heal(sector);
            }
        }
        self.clean = self.bytes.len();
        true
    }

    /// A sync of which one sector lands in the place of another. Answers whether
    /// there were two places.
    pub fn misdirect_sync(&mut self, rng: &mut Rng) -> bool {
        let dirty = self.dirty_sectors();
        if dirty.is_empty() || dirty.start == 0 {
            self.sync();
            return false;
        }
        let (victim, target) = (rng.usize(dirty.clone()), rng.usize(..dirty.start));
        let old = self.platter(victim);
        let start = victim * self.sector;
        let mut written = self.bytes[start..(start + self.sector).min(self.bytes.len())].to_vec();
        written.resize(self.sector, 0);
        self.sync();
        self.differs.insert(victim, old);
        self.differs.insert(target, written);
        true
    }

    /// Changes what the platter holds below the end of what was synced.
    pub fn rot(&mut self, change: impl FnOnce(&mut [u8])) {
        let before = self.platter_image();
        let mut after = before.clone();
        change(&mut after);
        for (sector, (old, new)) in before.chunks(self.sector).zip(after.chunks(self.sector)).enumerate() {
            if old != new {
                let mut content = self.platter(sector);
                content[..new.len()].copy_from_slice(new);
                self.differs.insert(sector, content);
            }
        }
    }

    /// A sector that was synced can no longer be read.
    pub fn spoil(&mut self, at: usize) {
        self.unreadable = Some(at / self.sector);
    }

    /// Whether reading all of it back from the platter fails.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable.is_some()
    }

    /// What the platter holds of what was synced.
    fn platter_image(&self) -> Vec<u8> {
        let mut image = self.bytes[..self.clean].to_vec();
        for (sector, content) in &self.differs {
            let start = sector * self.sector;
            let end = (start + self.sector).min(image.len());
            if start < end {
                image[start..end].copy_from_slice(&content[..end - start]);
            }
        }
        image
    }

    /// The clean pages leave the cache; the dirty ones stay.
    pub fn evict(&mut self) {
        let dirty = self.dirty_sectors();
        self.dropped.retain(|sector, _| dirty.contains(sector));
        for (sector, content) in std::mem::take(&mut self.differs) {
            if dirty.contains(&sector) {
                self.differs.insert(sector, content);
                continue;
            }
            let start = sector * self.sector;
            let end = (start + self.sector).min(self.bytes.len());
            if start < end {
                self.bytes[start..end].copy_from_slice(&content[..end - start]);
            }
        }
    }

    /// The cache is gone. Answers how many sectors that were not synced are lost.
    pub fn cut_power(&mut self, survival: Survival, rng: &mut Rng) -> usize {
        let dirty = self.dirty_sectors();
        let count = dirty.len();
        let ordered = match survival {
            Survival::Nothing => 0,
            Survival::Prefix => rng.usize(..=count),
            Survival::Subset | Survival::Everything => count,
        };
        let mut image = self.platter_image();
        let mut lost = 0;
        for (number, sector) in dirty.enumerate() {
            if number >= ordered || (survival == Survival::Subset && rng.bool()) {
                lost += 1;
                continue;
            }
            self.heal(sector);
            let start = sector * self.sector;
            let end = (start + self.sector).min(self.bytes.len());
            // The file has grown this far; what is missing before reads as zeros.
            image.resize(image.len().max(end), 0);
            image[start..end].copy_from_slice(&self.bytes[start..end]);
        }
        self.clean = image.len();
        self.bytes = image;
        self.differs.clear();
        self.dropped.clear();
        lost
    }

    /// Cuts the end off, durably.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.clean = self.clean.min(length);
        self.differs.retain(|sector, _| sector * self.sector < length);
        self.dropped.retain(|_, start| *start < length);
    }

    /// Replaces the whole file by a synced one, atomically.
    pub fn replace(&mut self, bytes: Vec<u8>) {
        *self = Self { clean: bytes.len(), bytes, ..Self::new(self.sector) };
    }
}
