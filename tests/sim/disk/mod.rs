//! The disk of a simulated machine.
//!
//! The journal's segments are files that are written anywhere. A database stands in for sled: it is one file
//! of checksummed frames, an operation each. Both are seen through a page cache. So what a crash or a fault
//! leaves is not decided but found out: the real journal reads the segments, a database's file is read back
//! up to the first invalid frame, as sled does, and then the real code judges what there is.
//!
//! ```text
//! journal ─ SimJournalFiles ── SectorFile: bytes ─┐
//!                                                 │  cache ─ sync ─▶ platter
//! store ── SimRecords ┐                           ├─                 differs (damage)
//!                     ├─ Db: frames ─ SimFile: end┘     │
//! Machine ─ SimTable ─┘                                 └ a power cut keeps a subset of the dirty sectors
//! ```
//!
//! All randomness comes from the seed. All faults are armed by the caller.

mod db;
mod device;
mod durable;
mod fault;
mod file;
mod frame;
mod journal;
mod records;
mod sectors;
mod states;
mod tests;

pub use device::Counts;
pub use durable::Durable;
pub use fault::{DiskOptions, Fault, Part, Place};
pub use file::Survival;

use db::{Db, Facts};
use device::Shared;
use durable::JournalFacts;
use journal::{SimJournal, SimJournalFiles};
use kontiki::storage::log::{self, OpenLog};
use kontiki::storage::{LogStore, LogStorer, RestoredLog, StateStore, StorageError};
use kontiki::types::{ClusterId, DirectoryId, EntryId};
use records::SimRecords;
use states::SimStates;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// How rarely a note reaches the platter by itself: one in this many.
const NOTES_PER_WRITE_BACK: u32 = 16;

/// Which state is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    generation: u64,
    installed: Option<EntryId>,
}

/// A disk. Cloning makes another handle of the same one.
#[derive(Clone, Debug)]
pub struct SimDisk {
    device: Shared,
    directory: Arc<Mutex<Directory>>,
}

/// The data directory on it. Its lock is taken before those of the databases.
#[derive(Debug)]
struct Directory {
    formatted: bool,
    /// What a new directory gets and a copy keeps.
    id: u64,
    journal: Arc<Mutex<SimJournal>>,
    /// The log's store.
    store: Arc<Mutex<Db>>,
    states: BTreeMap<u64, Arc<Mutex<Db>>>,
    next_generation: u64,
    /// As the process sees it, and as the platter has it.
    current: Pointer,
    current_durable: Pointer,
    damage_allowed: bool,
}

/// An open data directory.
pub struct Opened {
    /// The log.
    pub log: Box<dyn LogStore>,
    /// What moves it into its store.
    pub storer: Box<dyn LogStorer>,
    /// What it held.
    pub restored: RestoredLog,
    /// The state.
    pub states: Arc<dyn StateStore>,
    /// What was durable and is gone, although the node did not refuse to start: a bug, or more damage than
    /// can be detected.
    pub lost: Option<String>,
    /// Whether that is the one undetectable loss: of the last write to the journal, while the note that would
    /// have shown it was lost or went back in time.
    pub unwitnessed: bool,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, options: DiskOptions) -> Self {
        let device = Shared::new(seed, options);
        let directory = Directory::new(&device);
        Self { device, directory: Arc::new(Mutex::new(directory)) }
    }

    /// Creates a data directory. A crash meanwhile leaves a disk without one.
    pub fn format(&self) -> Result<(), StorageError> {
        let fresh = Directory::new(&self.device);
        let damage_allowed = self.directory().damage_allowed;
        let old = std::mem::replace(&mut *self.directory(), Directory { damage_allowed, ..fresh });
        drop(old);
        let (state, store) = (self.current_state(), self.directory().store.clone());
        let options = self.device.lock().options;
        let records = SimRecords::open(store, options.window)?;
        log::create(
            &SimJournalFiles::open(self),
            options.log.journal,
            &records,
            DirectoryId(self.directory_id()),
        )?;
        state.lock().unwrap().open()?;
        state.lock().unwrap().sync()?;
        self.directory().formatted = true;
        Ok(())
    }

    /// Whether there is a data directory.
    pub fn is_formatted(&self) -> bool {
        self.directory().formatted
    }

    /// The number that the data directory got when it was made.
    pub fn directory_id(&self) -> u64 {
        self.directory().id
    }

    /// Opens the data directory, as `kontiki::storage::open` does.
    pub fn open(&self, cluster: ClusterId) -> Result<Opened, StorageError> {
        let before = self.durable();
        let (journal, store) = {
            let directory = self.directory();
            (directory.journal.clone(), directory.store.clone())
        };
        let witness_is_old = journal.lock().unwrap().witness_is_old();
        let (options, secret) = {
            let mut device = self.device.lock();
            (device.options, device.rng.u64(1..))
        };
        let files = Arc::new(SimJournalFiles::open(self));
        let records = SimRecords::open(store, options.window)?;
        let OpenLog { log, storer, restored } =
            log::open(files, records, DirectoryId(self.directory_id()), options.log, secret)?;
        let states = SimStates::open(self.clone(), cluster)?;
        journal.lock().unwrap().opened(JournalFacts::of(&restored));
        let lost = self.durable().lacks(&before);
        Ok(Opened { log, storer, restored, states: Arc::new(states), lost, unwitnessed: witness_is_old })
    }

    /// The process is gone, or with `power` the machine. Its handles are dead.
    pub fn crash(&self, power: bool) {
        let survival = power.then(|| Survival::random(&mut self.device.lock().rng));
        match survival {
            Some(survival) => self.cut_power(survival),
            None => self.kill(),
        }
    }

    /// The process is gone; the page cache stays.
    pub fn kill(&self) {
        self.device.lock().new_process();
        let mut directory = self.directory();
        directory.each_database(Db::lose_process);
        directory.journal.lock().unwrap().lose_process();
    }

    /// The page cache is gone.
    pub fn cut_power(&self, survival: Survival) {
        {
            let mut device = self.device.lock();
            device.new_process();
            device.count("power cut");
        }
        let mut directory = self.directory();
        directory.each_database(|db| db.lose_power(survival));
        directory.journal.lock().unwrap().lose_power(survival);
        let mut device = self.device.lock();
        let back = |likely: bool, rng: &mut fastrand::Rng| match survival {
            Survival::Nothing => true,
            Survival::Everything => false,
            _ => likely && rng.bool(),
        };
        if back(directory.current != directory.current_durable, &mut device.rng) {
            directory.current = directory.current_durable;
        }
        directory.current_durable = directory.current;
    }

    /// Whether the process died in the middle of an operation; call [`crash`](Self::crash) then.
    pub fn is_halted(&self) -> bool {
        self.device.lock().halted
    }

    /// What would be found after a power cut right now, at the least.
    pub fn durable(&self) -> Durable {
        let directory = self.directory();
        let pointer = directory.current_durable;
        let (hard_state, log) = directory.journal.lock().unwrap().facts().certain();
        let applied = match directory.states[&pointer.generation].lock().unwrap().facts() {
            Facts::State(state) => state.certain(),
            Facts::Store => EntryId::ZERO,
        };
        Durable { hard_state, log, applied, installed: pointer.installed }
    }

    /// Rises whenever what is durable may have changed.
    pub fn changes(&self) -> u64 {
        self.device.lock().changes
    }

    /// Whether faults that take what was durable may be armed: the world allows
    /// them to fewer than a majority.
    pub fn allow_damage(&self, allowed: bool) {
        self.directory().damage_allowed = allowed;
    }

    /// Whether damage has hit what was durable, or what this process read of it, and the node has not come up since.
    pub fn is_damaged(&self) -> bool {
        let device = self.device.lock();
        device.rotten || device.misread
    }

    /// A node has read everything back, checked it and come up: what was damaged is gone or was not needed.
    pub fn proved_sound(&self) {
        self.device.lock().rotten = false;
    }

    /// Arms or causes a fault. Returns whether it is allowed and can have an effect.
    pub fn arm(&self, fault: Fault) -> bool {
        if !fault.is_damage() {
            return self.arm_unchecked(fault);
        }
        let may = {
            let directory = self.directory();
            directory.damage_allowed && directory.formatted
        };
        may && self.arm_unchecked(fault)
    }

    fn arm_unchecked(&self, fault: Fault) -> bool {
        match fault {
            Fault::Flip { part: Part::Log, place } => return self.journal().lock().unwrap().flip(place),
            Fault::Unreadable { part: Part::Log } => return self.journal().lock().unwrap().spoil(),
            Fault::Flip { part, place } => return self.database(part).lock().unwrap().flip(place),
            Fault::Unreadable { part } => return self.database(part).lock().unwrap().spoil(),
            Fault::LoseWitness => {
                self.device.lock().count("witness lost");
                self.journal().lock().unwrap().lose_witness();
            }
            Fault::Crash { after } => self.device.lock().crash.set(after),
            Fault::WriteError { part, after } => self.device.lock().armed(part).write.set(after),
            Fault::SyncError { part, after } => self.device.lock().armed(part).sync.set(after),
            Fault::ReadFlip { part, after } => self.device.lock().armed(part).read.set(after),
            Fault::Misdirect { part, after } => self.device.lock().armed(part).misdirect.set(after),
            Fault::Stall { part, until } => {
                let mut device = self.device.lock();
                device.count("stall");
                device.armed(part).stall = Some(until);
            }
        }
        true
    }

    /// Until when a database does not answer, if it does not now.
    pub fn stalled_until(&self, part: Part, now: Instant) -> Option<Instant> {
        let mut device = self.device.lock();
        let armed = device.armed(part);
        armed.stall = armed.stall.filter(|until| *until > now);
        armed.stall
    }

    /// Sets the size of the disk to what is used plus this much.
    pub fn leave_room(&self, bytes: u64) {
        let mut device = self.device.lock();
        device.options.capacity = device.used.saturating_add(bytes);
    }

    /// Replaces the disk with a new, empty one.
    pub fn wipe(&self) {
        self.new_device_life();
        let damage_allowed = self.directory().damage_allowed;
        let fresh = Directory { damage_allowed, ..Directory::new(&self.device) };
        let old = std::mem::replace(&mut *self.directory(), fresh);
        drop(old);
        self.device.lock().count("wiped");
    }

    /// Replaces the disk with a copy of another one, as an operator may do by mistake.
    pub fn clone_from_disk(&self, other: &SimDisk) {
        self.new_device_life();
        let copy = other.directory().copy_to(&self.device);
        let old = std::mem::replace(&mut *self.directory(), copy);
        drop(old);
        self.device.lock().count("cloned");
    }

    /// Other data than before: what was damaged is not there any more.
    fn new_device_life(&self) {
        let mut device = self.device.lock();
        device.new_process();
        device.rotten = false;
    }

    /// What took effect, by kind.
    pub fn counts(&self) -> Counts {
        self.device.lock().counts().clone()
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap()
    }

    fn journal(&self) -> Arc<Mutex<SimJournal>> {
        self.directory().journal.clone()
    }

    fn database(&self, part: Part) -> Arc<Mutex<Db>> {
        match part {
            Part::Log | Part::Store => self.directory().store.clone(),
            Part::State => self.current_state(),
        }
    }

    fn state(&self, generation: u64) -> Arc<Mutex<Db>> {
        self.directory().states[&generation].clone()
    }

    fn current_state(&self) -> Arc<Mutex<Db>> {
        let generation = self.directory().current.generation;
        self.state(generation)
    }

    /// A new one; what was begun before and nobody holds goes.
    fn new_state(&self) -> (u64, Arc<Mutex<Db>>) {
        let db = Arc::new(Mutex::new(Db::new(Part::State, self.device.clone())));
        let mut directory = self.directory();
        let current = directory.current.generation;
        directory.states.retain(|generation, db| *generation == current || Arc::strong_count(db) > 1);
        let generation = directory.next_generation;
        directory.next_generation += 1;
        directory.states.insert(generation, db.clone());
        (generation, db)
    }

    /// The pointer's name becomes durable, as it is.
    fn settle_pointer(&self) -> Pointer {
        let mut directory = self.directory();
        directory.current_durable = directory.current;
        self.device.lock().changes += 1;
        directory.current
    }

    fn rename_pointer(&self, pointer: Pointer) {
        self.directory().current = pointer;
    }

    /// The other states go; who still reads one keeps it.
    fn keep_only(&self, generation: u64) {
        let old = {
            let mut directory = self.directory();
            let kept = directory.states.remove(&generation).into_iter().map(|db| (generation, db)).collect();
            std::mem::replace(&mut directory.states, kept)
        };
        drop(old);
    }
}

impl Directory {
    fn new(device: &Shared) -> Self {
        const FIRST: Pointer = Pointer { generation: 1, installed: None };
        let db = |part| Arc::new(Mutex::new(Db::new(part, device.clone())));
        let (store, state) = (db(Part::Store), db(Part::State));
        Self {
            formatted: false,
            id: device.lock().rng.u64(1..),
            journal: Arc::new(Mutex::new(SimJournal::new(device.clone()))),
            store,
            states: BTreeMap::from([(FIRST.generation, state)]),
            next_generation: FIRST.generation + 1,
            current: FIRST,
            current_durable: FIRST,
            damage_allowed: false,
        }
    }

    /// Takes the databases away from the process that had them open.
    fn each_database(&mut self, then: impl Fn(&mut Db)) {
        for slot in self.states.values_mut().chain([&mut self.store]) {
            let mut db = slot.lock().unwrap().take();
            then(&mut db);
            *slot = Arc::new(Mutex::new(db));
        }
    }

    fn copy_to(&self, device: &Shared) -> Self {
        let copy = |db: &Arc<Mutex<Db>>| Arc::new(Mutex::new(db.lock().unwrap().copy_to(device.clone())));
        Self {
            journal: Arc::new(Mutex::new(self.journal.lock().unwrap().copy_to(device.clone()))),
            store: copy(&self.store),
            states: self.states.iter().map(|(generation, db)| (*generation, copy(db))).collect(),
            ..*self
        }
    }
}
