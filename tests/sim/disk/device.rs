//! What the databases of a data directory share: the device under them, the process above them, and randomness.

use super::fault::{Countdown, DiskOptions, Part};
use fastrand::Rng;
use kontiki::storage::StorageError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Counts of what took effect, by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// A device, shared. Its lock is the innermost.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Device>>);

impl Shared {
    /// A device whose faults follow from the seed.
    pub fn new(seed: u64, options: DiskOptions) -> Self {
        let mut rng = Rng::with_seed(seed);
        let sector = options.sector.unwrap_or_else(|| if rng.bool() { 512 } else { 4096 });
        Self(Arc::new(Mutex::new(Device {
            rng,
            options,
            sector,
            process: 0,
            halted: false,
            used: 0,
            crash: Countdown::default(),
            armed: Default::default(),
            counts: Counts::new(),
            changes: 0,
            rotten: false,
            misread: false,
        })))
    }

    /// For one step.
    pub fn lock(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap()
    }
}

/// The device.
#[derive(Debug)]
pub struct Device {
    /// Chance.
    pub rng: Rng,
    /// How it behaves.
    pub options: DiskOptions,
    /// What is written as a whole.
    pub sector: usize,
    /// Which process may use it; the handles of an earlier one are dead.
    pub process: u64,
    /// The process died in the middle of an operation.
    pub halted: bool,
    /// Bytes in use.
    pub used: u64,
    /// In the middle of which operation the process dies.
    pub crash: Countdown,
    armed: [Armed; 3],
    counts: Counts,
    /// Increases whenever what is durable may change.
    pub changes: u64,
    /// Whether the platter was damaged and has not been read back and judged since.
    pub rotten: bool,
    /// Whether this process was given a flipped bit.
    pub misread: bool,
}

/// The faults that wait for one database.
#[derive(Debug, Default)]
pub struct Armed {
    /// A write fails.
    pub write: Countdown,
    /// A sync fails.
    pub sync: Countdown,
    /// A read returns a flipped bit.
    pub read: Countdown,
    /// A sync lands elsewhere.
    pub misdirect: Countdown,
    /// It does not answer until then.
    pub stall: Option<Instant>,
}

/// The fate of an operation.
#[derive(Debug)]
pub enum Course {
    /// As it should.
    Done,
    /// The process dies in the middle of it.
    Dies,
    /// It fails.
    Fails(&'static str),
    /// A sector of it lands elsewhere.
    Misdirected,
}

impl Device {
    /// The faults that wait for a database.
    pub fn armed(&mut self, part: Part) -> &mut Armed {
        &mut self.armed[part as usize]
    }

    /// Something took effect.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What took effect.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Forgets what was armed for the process that died.
    pub fn new_process(&mut self) {
        self.process += 1;
        self.changes += 1;
        self.halted = false;
        self.misread = false;
        self.crash = Countdown::default();
        for armed in &mut self.armed {
            // Misreads happen mostly at the next start.
            *armed = Armed { stall: armed.stall, read: armed.read, ..Armed::default() };
        }
    }

    /// Whether the process that holds this handle still lives.
    pub fn check(&self, process: u64) -> Result<(), StorageError> {
        if self.halted || self.process != process {
            return Err(io("use", "the process is gone"));
        }
        Ok(())
    }

    /// The room that is left.
    pub fn free(&self) -> u64 {
        self.options.capacity.saturating_sub(self.used)
    }

    /// A write of this many bytes begins.
    pub fn write(&mut self, part: Part, bytes: usize) -> Course {
        self.changes += 1;
        if self.dies() {
            return Course::Dies;
        }
        if self.armed(part).write.strikes() {
            self.count("write error");
            return Course::Fails("Input/output error (os error 5)");
        }
        if bytes as u64 > self.free() {
            self.count("disk full");
            return Course::Fails("No space left on device (os error 28)");
        }
        self.used += bytes as u64;
        Course::Done
    }

    /// A sync begins.
    pub fn sync(&mut self, part: Part) -> Course {
        self.changes += 1;
        if self.dies() {
            return Course::Dies;
        }
        if self.armed(part).sync.strikes() {
            return Course::Fails("Input/output error (os error 5)");
        }
        if self.armed(part).misdirect.strikes() {
            return Course::Misdirected;
        }
        Course::Done
    }

    /// A value is read. Answers which bit of it flips, if one does.
    pub fn read(&mut self, part: Part, length: usize) -> Option<usize> {
        if length == 0 || !self.armed(part).read.strikes() {
            return None;
        }
        self.count("bit flip on read");
        self.misread = true;
        Some(self.rng.usize(..8 * length))
    }

    /// An operation of any kind begins. Answers whether the process dies in it.
    pub fn dies(&mut self) -> bool {
        if self.crash.strikes() {
            self.halted = true;
            self.count("death in an operation");
        }
        self.halted
    }
}

/// An error of the file system.
pub fn io(action: &'static str, reason: impl Into<String>) -> StorageError {
    StorageError::Io { action, path: path(), reason: reason.into() }
}

/// An error of the engine.
pub fn engine(action: &'static str, reason: impl Into<String>) -> StorageError {
    StorageError::Engine { action, path: path(), reason: reason.into() }
}

/// Where it all lies, for messages.
pub fn path() -> PathBuf {
    PathBuf::from("simulated")
}
