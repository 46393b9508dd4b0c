//! The journal's directory on the simulated disk, under the real journal.

use super::device::{self, Course, Device, Shared};
use super::durable::JournalFacts;
use super::fault::{Part, Place};
use super::file::Survival;
use super::sectors::SectorFile;
use super::{NOTES_PER_WRITE_BACK, SimDisk};
use kontiki::storage::StorageError;
use kontiki::storage::journal::{JournalFiles, SegmentFile};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

const LOG: Part = Part::Log;

/// The unit in which the journal writes.
const SECTOR: usize = 512;

/// The files, and what they say.
#[derive(Debug)]
pub struct SimJournal {
    device: Shared,
    segments: Vec<SectorFile>,
    draft: Option<SectorFile>,
    /// How many segments have a durable name.
    named: usize,
    /// A failed sync of the directory lost the name of the last segment: no later sync writes it.
    last_name_lost: bool,
    /// What the witness says, as the process sees it and as the platter has it.
    noted: u64,
    noted_durable: u64,
    /// The newest note ever written.
    noted_last: u64,
    facts: JournalFacts,
    /// Whether a sync has failed in this life: what is durable since is not known.
    has_hole: bool,
    /// Where the last write that was synced lies: segment, offset, length.
    last_synced: Option<(usize, usize, usize)>,
    last_written: Option<(usize, usize, usize)>,
}

impl SimJournal {
    /// An empty directory.
    pub fn new(device: Shared) -> Self {
        Self {
            device,
            segments: Vec::new(),
            draft: None,
            named: 0,
            last_name_lost: false,
            noted: 0,
            noted_durable: 0,
            noted_last: 0,
            facts: JournalFacts::default(),
            has_hole: false,
            last_synced: None,
            last_written: None,
        }
    }

    /// A copy on another device, of what is on the platter and in the cache.
    pub fn copy_to(&self, device: Shared) -> Self {
        let mut copy = Self {
            segments: self.segments.clone(),
            draft: None,
            facts: self.facts.clone(),
            device: device.clone(),
            ..*self
        };
        for segment in &mut copy.segments {
            segment.evict();
            segment.sync();
        }
        copy.named = copy.segments.len();
        device.lock().used += copy.bytes();
        copy
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().chain(&self.draft).map(|file| file.bytes().len() as u64).sum()
    }

    /// What its records say.
    pub fn facts(&self) -> &JournalFacts {
        &self.facts
    }

    /// What was found at an opening is durable, and what the facts go on from.
    pub fn opened(&mut self, facts: JournalFacts) {
        self.facts = facts;
        self.has_hole = false;
    }

    /// Whether the witness claims less than it did at its best.
    pub fn witness_is_old(&self) -> bool {
        self.noted < self.noted_last
    }

    /// The witness cannot be read any more.
    pub fn lose_witness(&mut self) {
        (self.noted, self.noted_durable) = (0, 0);
    }

    /// The process died. The cache stays, unless other files needed the room.
    pub fn lose_process(&mut self) {
        let mut device = self.device.lock();
        for segment in &mut self.segments {
            if !segment.is_sound() && device.rng.bool() {
                segment.evict();
                device.count("cache dropped");
            }
        }
    }

    /// The power failed.
    pub fn lose_power(&mut self, survival: Survival) {
        let mut device = self.device.lock();
        device.used -= self.draft.take().map_or(0, |draft| draft.bytes().len() as u64);
        let keeps_names = match survival {
            Survival::Nothing => false,
            Survival::Everything => true,
            _ => device.rng.bool(),
        };
        let kept = if keeps_names && !self.last_name_lost { self.segments.len() } else { self.named };
        self.last_name_lost = false;
        for gone in self.segments.split_off(kept.min(self.segments.len())) {
            device.used -= gone.bytes().len() as u64;
            device.count("segment without a name lost");
        }
        self.named = self.segments.len();
        for segment in &mut self.segments {
            for _ in 0..segment.cut_power(survival, &mut device.rng) {
                device.count("unsynced sector lost");
            }
        }
        let goes_back = match survival {
            Survival::Nothing => true,
            Survival::Everything => false,
            _ => device.rng.bool(),
        };
        if goes_back && self.noted != self.noted_durable {
            self.noted = self.noted_durable;
            device.count("witness back in time");
        }
        self.noted_durable = self.noted;
    }

    /// A bit flips on the platter. Answers whether there was one to flip.
    pub fn flip(&mut self, place: Place) -> bool {
        let mut device = self.device.lock();
        let (segment, start, length) = match place {
            Place::End => match self.last_synced {
                Some(last) => last,
                None => return false,
            },
            Place::Anywhere | Place::Value => {
                let used: Vec<usize> =
                    (0..self.segments.len()).filter(|at| self.segments[*at].used() > 0).collect();
                let Some(segment) = device.rng.choice(&used).copied() else { return false };
                (segment, 0, self.segments[segment].used())
            }
        };
        let bit = device.rng.usize(8 * start..8 * (start + length));
        self.segments[segment].flip(bit);
        device.count(match place {
            Place::End => "bit flip in the last record",
            _ => "bit flip in any record",
        });
        device.rotten = true;
        true
    }

    /// A sector can no longer be read. Answers whether there was one.
    pub fn spoil(&mut self) -> bool {
        let mut device = self.device.lock();
        let used: Vec<usize> = (0..self.segments.len()).filter(|at| self.segments[*at].used() > 0).collect();
        let Some(segment) = device.rng.choice(&used).copied() else { return false };
        let at = device.rng.usize(..self.segments[segment].used());
        self.segments[segment].spoil(at);
        device.count("unreadable sector");
        device.rotten = true;
        true
    }

    fn write(
        &mut self,
        number: usize,
        offset: usize,
        bytes: &[u8],
        course: Course,
    ) -> Result<(), StorageError> {
        let failure = match course {
            Course::Done | Course::Misdirected => None,
            Course::Dies => Some("the process is gone"),
            Course::Fails(reason) => Some(reason),
        };
        if let Some(reason) = failure {
            // Part of it is there, or none, or all of it. A killed write ends between two pages of the cache, and so
            // never within a sector.
            let length = self.device.lock().rng.usize(..=bytes.len()) / SECTOR * SECTOR;
            self.segments[number].write(offset, &bytes[..length]);
            // Unknown, but it may come back: what it was to replace is not certain any more.
            self.facts.write(bytes);
            return Err(device::io("write", reason));
        }
        self.segments[number].write(offset, bytes);
        self.facts.write(bytes);
        self.last_written = Some((number, offset, bytes.len()));
        Ok(())
    }

    fn sync(&mut self, number: usize, course: Course) -> Result<(), StorageError> {
        let shared = self.device.clone();
        let mut device = shared.lock();
        let segment = &mut self.segments[number];
        match course {
            Course::Done => segment.sync(),
            Course::Dies => return Err(device::io("fdatasync", "the process is gone")),
            Course::Misdirected => {
                if segment.misdirect_sync(&mut device.rng) {
                    device.count("misdirected write");
                    device.rotten = true;
                }
            }
            Course::Fails(reason) => {
                self.has_hole = true;
                if segment.fail_sync(&mut device.rng) {
                    device.count("failed sync that lost pages");
                }
                device.count("sync error");
                return Err(device::io("fdatasync", reason));
            }
        }
        if !self.has_hole {
            self.facts.synced();
        }
        self.last_synced = self.last_written;
        Ok(())
    }
}

impl Drop for SimJournal {
    fn drop(&mut self) {
        // A panic that goes through here may hold the lock, or have poisoned it.
        if !std::thread::panicking() {
            let bytes = self.bytes();
            self.device.lock().used -= bytes;
        }
    }
}

/// A process's handle of the directory.
#[derive(Clone, Debug)]
pub struct SimJournalFiles {
    journal: Arc<Mutex<SimJournal>>,
    process: u64,
    noted: u64,
}

impl SimJournalFiles {
    /// For the process of today.
    pub fn open(disk: &SimDisk) -> Self {
        let journal = disk.directory().journal.clone();
        let process = disk.device.lock().process;
        let noted = journal.lock().unwrap().noted;
        Self { journal, process, noted }
    }

    fn journal(&self) -> MutexGuard<'_, SimJournal> {
        self.journal.lock().unwrap()
    }

    /// Asks the device how an operation goes.
    fn gate(&self, ask: impl FnOnce(&mut Device) -> Course) -> Result<Course, StorageError> {
        let device = self.journal().device.clone();
        let mut device = device.lock();
        device.check(self.process)?;
        Ok(ask(&mut device))
    }

    /// An operation that is done or not.
    fn step(
        &self,
        action: &'static str,
        ask: impl FnOnce(&mut Device) -> Course,
    ) -> Result<(), StorageError> {
        match self.gate(ask)? {
            Course::Done | Course::Misdirected => Ok(()),
            Course::Dies => Err(device::io(action, "the process is gone")),
            Course::Fails(reason) => Err(device::io(action, reason)),
        }
    }
}

impl JournalFiles for SimJournalFiles {
    fn list(&self) -> Result<Vec<u32>, StorageError> {
        self.step("list", |_| Course::Done)?;
        Ok((0..).take(self.journal().segments.len()).collect())
    }

    fn draft(&self, bytes: usize) -> Result<(), StorageError> {
        self.discard_draft();
        self.step("write", |device| device.write(LOG, bytes))?;
        let mut journal = self.journal();
        let sector = journal.device.lock().sector;
        journal.draft = Some(SectorFile::new(bytes, sector));
        drop(journal);
        self.step("fsync", |device| device.sync(LOG))
    }

    fn publish(&self, _: u32) -> Result<(), StorageError> {
        self.step("rename to", |device| device.write(LOG, 0))?;
        let mut journal = self.journal();
        let draft = journal.draft.take();
        journal.segments.extend(draft);
        Ok(())
    }

    fn rename_anew(&self, number: u32) -> Result<(), StorageError> {
        self.step("rename", |device| device.write(LOG, 0))?;
        {
            let mut journal = self.journal();
            assert_eq!(number as usize + 1, journal.segments.len(), "only the last segment may be renamed");
            journal.draft = journal.segments.pop();
            journal.named = journal.named.min(journal.segments.len());
            if std::mem::take(&mut journal.last_name_lost) {
                journal.device.lock().count("lost name of a segment written anew");
            }
        }
        self.publish(number)
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        let synced = self.step("fsync", |device| {
            let course = device.sync(LOG);
            if matches!(course, Course::Fails(_)) {
                device.count("sync error of a directory");
            }
            course
        });
        let mut journal = self.journal();
        if synced.is_err() {
            journal.last_name_lost |= journal.named < journal.segments.len();
        } else if !journal.last_name_lost {
            journal.named = journal.segments.len();
        }
        synced
    }

    fn discard_draft(&self) {
        let mut journal = self.journal();
        let bytes = journal.draft.take().map_or(0, |draft| draft.bytes().len() as u64);
        journal.device.lock().used -= bytes;
    }

    fn open(&self, number: u32) -> Result<(Box<dyn SegmentFile>, Vec<u8>), StorageError> {
        self.step("open", |_| Course::Done)?;
        let mut journal = self.journal();
        let shared = journal.device.clone();
        let mut device = shared.lock();
        let file = &mut journal.segments[number as usize];
        if device.options.open_drops_cache {
            file.sync();
            file.evict();
        }
        if file.is_unreadable() {
            device.count("unreadable sector met");
            return Err(device::io("read", "Input/output error (os error 5)"));
        }
        let mut content = file.bytes().to_vec();
        if let Some(bit) = device.read(LOG, file.used()) {
            content[bit / 8] ^= 1 << (bit % 8);
        }
        Ok((Box::new(SimSegment { files: self.clone(), number: number as usize }), content))
    }

    fn note(&self, number: u64) -> Result<(), StorageError> {
        {
            // What it would have said is synced, though nobody was told of it.
            let mut journal = self.journal();
            journal.noted_last = journal.noted_last.max(number);
        }
        self.step("write", |device| device.write(LOG, 0))?;
        let mut journal = self.journal();
        let is_written_back = journal.device.lock().rng.u32(..NOTES_PER_WRITE_BACK) == 0;
        journal.noted = number;
        if is_written_back {
            journal.noted_durable = number;
        }
        Ok(())
    }

    fn noted(&self) -> u64 {
        self.noted
    }

    fn path(&self) -> &Path {
        Path::new("simulated/journal")
    }
}

#[derive(Debug)]
struct SimSegment {
    files: SimJournalFiles,
    number: usize,
}

impl SegmentFile for SimSegment {
    fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), StorageError> {
        // Its blocks exist: it takes up no more room than before.
        let course = self.files.gate(|device| device.write(LOG, 0))?;
        self.files.journal().write(self.number, offset, bytes, course)
    }

    fn sync(&self) -> Result<(), StorageError> {
        let course = self.files.gate(|device| device.sync(LOG))?;
        self.files.journal().sync(self.number, course)
    }
}
