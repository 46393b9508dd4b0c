//! One database of the simulated engine: an ordered map whose every change
//! is a frame of one file. As with sled, a crash leaves a prefix of the operations.

use super::device::{self, Course, Device, Shared};
use super::durable::StateFacts;
use super::fault::{Part, Place};
use super::file::{SimFile, Survival};
use super::frame::{self, Change};
use bytes::Bytes;
use kontiki::storage::StorageError;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

/// What the records say.
#[derive(Clone, Debug)]
pub enum Facts {
    /// A log's store: whatever it has lost, the journal must make up for.
    Store,
    /// Of a state.
    State(StateFacts),
}

impl Facts {
    fn none(part: Part) -> Self {
        match part {
            Part::Log | Part::Store => Self::Store,
            Part::State => Self::State(StateFacts::default()),
        }
    }

    fn change(&mut self, key: &[u8], value: Option<&[u8]>) {
        match (self, value) {
            (Self::State(state), Some(value)) => state.insert(key, value),
            (Self::State(_), None) | (Self::Store, _) => {}
        }
    }

    fn synced(&mut self) {
        match self {
            Self::Store => {}
            Self::State(state) => state.synced(),
        }
    }
}

/// One database.
#[derive(Debug)]
pub struct Db {
    part: Part,
    device: Shared,
    /// The process that has it open.
    process: u64,
    file: SimFile,
    map: BTreeMap<Bytes, Bytes>,
    /// The bytes that the file would have without garbage.
    live: usize,
    facts: Facts,
    /// What of its bytes the device counts as used.
    accounted: u64,
    /// The file's length at the opening, or when the garbage was last dropped: a power cut cannot lose that.
    settled: usize,
    failed: Option<StorageError>,
}

/// What a frame of one record has beside key and value.
const OVERHEAD: usize = 14;

impl Db {
    /// An empty one.
    pub fn new(part: Part, device: Shared) -> Self {
        let (sector, process) = {
            let device = device.lock();
            (device.sector, device.process)
        };
        Self {
            part,
            device,
            process,
            file: SimFile::new(sector),
            map: BTreeMap::new(),
            live: 0,
            facts: Facts::none(part),
            accounted: 0,
            settled: 0,
            failed: None,
        }
    }

    /// A copy on another device, of what is on the platter and in the cache.
    pub fn copy_to(&self, device: Shared) -> Self {
        let mut copy = Self::new(self.part, device.clone());
        copy.file = self.file.clone();
        copy.settled = self.settled;
        copy.file.evict();
        copy.file.sync();
        copy.account(&mut device.lock());
        copy
    }

    /// What a later process finds; this one has nothing any more.
    pub fn take(&mut self) -> Self {
        let mut next = Self::new(self.part, self.device.clone());
        std::mem::swap(&mut next.file, &mut self.file);
        std::mem::swap(&mut next.facts, &mut self.facts);
        next.settled = self.settled;
        std::mem::swap(&mut next.accounted, &mut self.accounted);
        self.map.clear();
        next
    }

    /// The process that has it open.
    pub fn process(&self) -> u64 {
        self.process
    }

    /// What its records say.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.file.bytes().len() as u64
    }

    /// Reads the file as the engine does: up to the first invalid frame, dropping the rest.
    pub fn open(&mut self) -> Result<(), StorageError> {
        let device = self.device.clone();
        let mut device = device.lock();
        self.process = device.process;
        self.failed = None;
        if device.options.open_drops_cache {
            self.file.sync();
            self.file.evict();
        }
        if self.file.is_unreadable() {
            device.count("unreadable sector met");
            return Err(device::engine("open", "Input/output error (os error 5)"));
        }
        self.replay(&mut device);
        Ok(())
    }

    fn replay(&mut self, device: &mut Device) {
        self.map.clear();
        self.live = 0;
        self.facts = Facts::none(self.part);
        let (mut end, synced, hole) = (0, self.file.synced(), self.file.hole());
        let frames: Vec<_> = frame::frames(self.file.bytes()).collect();
        for place in frames {
            end = place.end;
            let whole = Bytes::copy_from_slice(&self.file.bytes()[place]);
            for (key, value, _) in frame::changes(&whole) {
                self.facts.change(&key, value.as_deref());
                self.put(key, value);
            }
            if end <= synced && hole.is_none_or(|hole| end <= hole) {
                self.facts.synced();
            }
        }
        if end < self.file.bytes().len() {
            device.count("end of a file dropped");
            self.file.truncate(end);
        }
        // It is all synced, and no unsynced header has allowed anything to be reused.
        self.settled = end;
        self.account(device);
    }

    /// Tells the device what the file takes up.
    fn account(&mut self, device: &mut Device) {
        let bytes = self.bytes();
        device.used = device.used - self.accounted + bytes;
        self.accounted = bytes;
    }

    fn put(&mut self, key: Bytes, value: Option<Bytes>) {
        let Some(value) = value else {
            if let Some(old) = self.map.remove(&key) {
                self.live -= OVERHEAD + key.len() + old.len();
            }
            return;
        };
        let length = value.len();
        match self.map.entry(key) {
            Entry::Vacant(entry) => {
                self.live += OVERHEAD + entry.key().len() + length;
                entry.insert(value);
            }
            Entry::Occupied(mut entry) => {
                let old = entry.insert(value);
                self.live = self.live - old.len() + length;
            }
        }
    }

    /// The first error is final.
    pub fn fail(&mut self, error: StorageError) -> StorageError {
        self.failed.get_or_insert(error).clone()
    }

    /// The error that it failed with, if it did.
    pub fn check(&self) -> Result<(), StorageError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Fails with what the device says, if it says anything.
    fn gate<T>(&mut self, ask: impl FnOnce(&mut Device) -> T) -> Result<T, StorageError> {
        self.check()?;
        let device = self.device.clone();
        let mut device = device.lock();
        match device.check(self.process) {
            Ok(()) => Ok(ask(&mut device)),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Makes changes as a whole: one operation.
    pub fn write(&mut self, changes: Vec<(Bytes, Option<Bytes>)>) -> Result<(), StorageError> {
        if changes.is_empty() {
            return self.check();
        }
        let start = self.file.bytes().len();
        let listed = || changes.iter().map(|(key, value)| -> Change<'_> { (key, value.as_deref()) });
        let sizes = listed().map(|(key, value)| 6 + key.len() + value.map_or(0, <[u8]>::len));
        let length = 8 + sizes.sum::<usize>();
        let part = self.part;
        let course = self.gate(|device| device.write(part, length))?;
        frame::append(self.file.end(), listed());
        debug_assert_eq!(self.file.bytes().len(), start + length);
        let failure = match course {
            Course::Done | Course::Misdirected => None,
            Course::Dies => Some("the process is gone"),
            Course::Fails(reason) => Some(reason),
        };
        if let Some(reason) = failure {
            let error = self.tear(start, reason);
            if self.file.bytes().len() == start + length {
                // Nobody knows, but it may come back.
                changes.iter().for_each(|(key, value)| self.facts.change(key, value.as_deref()));
            }
            return Err(error);
        }
        self.accounted += length as u64;
        for (key, value) in changes {
            self.facts.change(&key, value.as_deref());
            self.put(key, value);
        }
        Ok(())
    }

    /// Leaves part of a frame, or none, or all of it: the caller cannot know.
    fn tear(&mut self, start: usize, reason: &str) -> StorageError {
        let device = self.device.clone();
        let mut device = device.lock();
        let length = device.rng.usize(start..=self.file.bytes().len());
        self.file.end().truncate(length);
        self.fail(device::engine("write", reason))
    }

    /// The value of a key.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let value = self.map.get(key).cloned();
        let (part, length) = (self.part, value.as_ref().map_or(0, Bytes::len));
        let flip = self.gate(|device| device.read(part, length))?;
        Ok(value.map(|value| flipped(value, flip)))
    }

    /// The next record in a range.
    pub fn next(
        &mut self,
        from: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Option<(Bytes, Bytes)>, StorageError> {
        let found = self.map.range::<[u8], _>(from).next().map(|(key, value)| (key.clone(), value.clone()));
        let (part, length) = (self.part, found.as_ref().map_or(0, |(_, value)| value.len()));
        let flip = self.gate(|device| device.read(part, length))?;
        Ok(found.map(|(key, value)| (key, flipped(value, flip))))
    }

    /// Makes all that was written durable.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        let part = self.part;
        let course = self.gate(|device| device.sync(part))?;
        let device = self.device.clone();
        let mut device = device.lock();
        match course {
            Course::Done => self.file.sync(),
            Course::Dies => return Err(self.fail(device::io("fdatasync", "the process is gone"))),
            Course::Misdirected => {
                if self.file.misdirect_sync(&mut device.rng) {
                    device.count("misdirected write");
                    device.rotten = true;
                }
            }
            Course::Fails(reason) => {
                if self.file.fail_sync(&mut device.rng) {
                    device.count("failed sync that lost pages");
                }
                device.count("sync error");
                return Err(self.fail(device::io("fdatasync", reason)));
            }
        }
        if self.file.hole().is_none() {
            self.facts.synced();
        }
        self.rewrite(&mut device);
        Ok(())
    }

    /// Drops the garbage when there is much of it, as the engine does.
    fn rewrite(&mut self, device: &mut Device) {
        let length = self.file.bytes().len();
        if length < device.options.rewrite_bytes || length < 2 * self.live || !self.file.is_sound() {
            return;
        }
        let mut bytes = Vec::with_capacity(self.live + self.live / 2);
        for (key, value) in &self.map {
            frame::append(&mut bytes, [(&key[..], Some(&value[..]))]);
        }
        self.settled = bytes.len();
        self.file.replace(bytes);
        self.account(device);
    }

    /// The process died. The cache stays, unless other files needed the room.
    pub fn lose_process(&mut self) {
        let device = self.device.clone();
        let mut device = device.lock();
        if !self.file.is_sound() && device.rng.bool() {
            self.file.evict();
            device.count("cache dropped");
        }
    }

    /// The power failed.
    pub fn lose_power(&mut self, survival: Survival) {
        let device = self.device.clone();
        let mut device = device.lock();
        for _ in 0..self.file.cut_power(survival, &mut device.rng) {
            device.count("unsynced sector lost");
        }
        if self.part == Part::Store && device.rng.bool() {
            self.lose_synced_end(&mut device);
        }
        self.account(&mut device);
    }

    /// An unsynced header has allowed the engine to reuse a segment: what was synced after the old one is
    /// lost too (fact 10 in `kontiki::storage`).
    fn lose_synced_end(&mut self, device: &mut Device) {
        let length = self.file.bytes().len();
        let most = device.options.window.min(length - self.settled.min(length));
        let lost = device.rng.usize(..=most);
        if lost > 0 {
            self.file.truncate(length - lost);
            device.count("synced end of a store lost");
        }
    }

    /// Flips a bit on the platter. Returns whether there was one.
    pub fn flip(&mut self, place: Place) -> bool {
        let device = self.device.clone();
        let mut device = device.lock();
        let synced = self.file.synced();
        let frames: Vec<_> = frame::frames(&self.file.bytes()[..synced]).collect();
        let Some(last) = frames.last() else { return false };
        match place {
            Place::End => {
                let bit = device.rng.usize(8 * last.start..8 * last.end);
                self.file.rot(|platter| platter[bit / 8] ^= 1 << (bit % 8));
                device.count("bit flip in the last frame");
            }
            Place::Anywhere => {
                let bit = device.rng.usize(..8 * last.end);
                self.file.rot(|platter| platter[bit / 8] ^= 1 << (bit % 8));
                device.count("bit flip in any frame");
            }
            Place::Value => {
                let live = self.live_values(&frames);
                if live.is_empty() {
                    return false;
                }
                let (start, value) = live[device.rng.usize(..live.len())].clone();
                let bit = device.rng.usize(8 * value.start..8 * value.end);
                self.file.rot(|platter| {
                    platter[bit / 8] ^= 1 << (bit % 8);
                    frame::seal(platter, start);
                });
                device.count("bit flip in a value");
            }
        }
        device.rotten = true;
        true
    }

    /// The position of the values that a reader would find: the start of the frame, the value.
    fn live_values(&self, frames: &[std::ops::Range<usize>]) -> Vec<(usize, std::ops::Range<usize>)> {
        let mut live = BTreeMap::new();
        for frame in frames {
            let whole = Bytes::copy_from_slice(&self.file.bytes()[frame.clone()]);
            for (key, value, place) in frame::changes(&whole) {
                match value {
                    Some(value) if !value.is_empty() => {
                        live.insert(key, (frame.start, frame.start + place.start..frame.start + place.end))
                    }
                    _ => live.remove(&key),
                };
            }
        }
        live.into_values().collect()
    }

    /// A sector can no longer be read. Answers whether there was one.
    pub fn spoil(&mut self) -> bool {
        let device = self.device.clone();
        let mut device = device.lock();
        if self.file.synced() == 0 {
            return false;
        }
        let at = device.rng.usize(..self.file.synced());
        self.file.spoil(at);
        device.count("unreadable sector");
        device.rotten = true;
        true
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // A panic that goes through here may hold the lock, or have poisoned it.
        if !std::thread::panicking() {
            self.device.lock().used -= self.accounted;
        }
    }
}

fn flipped(value: Bytes, bit: Option<usize>) -> Bytes {
    let Some(bit) = bit else { return value };
    let mut value = value.to_vec();
    value[bit / 8] ^= 1 << (bit % 8);
    value.into()
}
