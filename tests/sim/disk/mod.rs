//! The disk of a simulated machine.
//!
//! Each database is one file of checksummed frames, an operation each, seen
//! through a page cache. So what a crash or a fault leaves is not decided but found out:
//! the file is read back up to the first frame that is none, as sled does, and then the
//! real loader judges what there is.
//!
//! ```text
//! RunLog ─ SimRecords ┐                              cache ─ sync ─▶ platter
//!                     ├─ Db: map + frames ─ SimFile: bytes           differs (damage)
//! Machine ─ SimTable ─┘                              │
//!                                                    └ a power cut keeps a subset of the dirty sectors
//! ```
//!
//! All chance comes from the seed. All faults are armed by the caller.

mod db;
mod device;
mod durable;
mod fault;
mod file;
mod frame;
mod records;
mod states;
mod tests;

pub use device::Counts;
pub use durable::Durable;
pub use fault::{DiskOptions, Fault, Part, Place};
pub use file::Survival;

use db::{Db, Facts};
use device::Shared;
use durable::LogFacts;
use kontiki::raft::HardState;
use kontiki::storage::log::RunLog;
use kontiki::storage::{LogStore, RestoredLog, StateStore, StorageError};
use kontiki::types::{ClusterId, EntryId};
use records::SimRecords;
use states::SimStates;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// How often a note reaches the platter by itself: one in so many.
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
    log: Arc<Mutex<Db>>,
    states: BTreeMap<u64, Arc<Mutex<Db>>>,
    next_generation: u64,
    /// As the process sees it, and as the platter has it.
    current: Pointer,
    current_durable: Pointer,
    noted: u64,
    noted_durable: u64,
    /// The newest note that there ever was.
    noted_last: u64,
    damage_allowed: bool,
}

/// An open data directory.
pub struct Opened {
    /// The log.
    pub log: Box<dyn LogStore>,
    /// What it held.
    pub restored: RestoredLog,
    /// The state.
    pub states: Arc<dyn StateStore>,
    /// What was durable and is gone, although nobody refused to start: a bug, or
    /// more damage than is promised to be noticed.
    pub lost: Option<String>,
    /// Whether that is the one loss that nobody can notice: the end of the log was dropped, and
    /// the note that would have told was lost or went back in time, or fits what is left: the engine's collector
    /// had moved an older record behind the newest.
    pub unwitnessed: bool,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, options: DiskOptions) -> Self {
        let device = Shared::new(seed, options);
        let directory = Directory::new(&device);
        Self { device, directory: Arc::new(Mutex::new(directory)) }
    }

    /// Makes a new data directory. A crash in it leaves a disk that is not formatted.
    pub fn format(&self, cluster: ClusterId) -> Result<(), StorageError> {
        let fresh = Directory::new(&self.device);
        let damage_allowed = self.directory().damage_allowed;
        let old = std::mem::replace(&mut *self.directory(), Directory { damage_allowed, ..fresh });
        drop(old);
        let state = self.current_state();
        let log = self.directory().log.clone();
        RunLog::create(&SimRecords::open(self.clone(), log)?, cluster)?;
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
        let (log, noted, noted_last) = {
            let directory = self.directory();
            (directory.log.clone(), directory.noted, directory.noted_last)
        };
        let records = SimRecords::open(self.clone(), log.clone())?;
        let (run_log, restored) = RunLog::open(records, cluster)?;
        let states = SimStates::open(self.clone(), cluster)?;
        if let Facts::Log(facts) = log.lock().unwrap().facts() {
            check_second_opinion(&restored, facts);
        }
        let lost = self.durable().lacks(&before);
        let newest = match log.lock().unwrap().facts() {
            Facts::Log(facts) => facts.newest(),
            Facts::State(_) => 0,
        };
        let unwitnessed = log.lock().unwrap().end_dropped() && (noted < noted_last || newest >= noted_last);
        Ok(Opened { log: Box::new(run_log), restored, states: Arc::new(states), lost, unwitnessed })
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
        self.directory().each_database(Db::lose_process);
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
        if back(directory.noted != directory.noted_durable, &mut device.rng) {
            directory.noted = directory.noted_durable;
            device.count("witness back in time");
        }
        directory.noted_durable = directory.noted;
    }

    /// Whether the process died in the middle of an operation; call [`crash`](Self::crash) then.
    pub fn is_halted(&self) -> bool {
        self.device.lock().halted
    }

    /// What would be found after a power cut right now, at the least.
    pub fn durable(&self) -> Durable {
        let directory = self.directory();
        let pointer = directory.current_durable;
        let (hard_state, log) = match directory.log.lock().unwrap().facts() {
            Facts::Log(log) => log.certain(),
            Facts::State(_) => (HardState::default(), Arc::default()),
        };
        let applied = match directory.states[&pointer.generation].lock().unwrap().facts() {
            Facts::State(state) => state.certain(),
            Facts::Log(_) => EntryId::ZERO,
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

    /// Whether damage has struck what was durable, or what this process read of it, and the
    /// node has not come up on it since.
    pub fn is_damaged(&self) -> bool {
        let device = self.device.lock();
        device.rotten || device.misread
    }

    /// A node has read all of it back, judged it and come up: what was damaged is gone or was not needed.
    pub fn proved_sound(&self) {
        self.device.lock().rotten = false;
    }

    /// Lets something go wrong. Answers whether it may, and there is something that it can happen to.
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
            Fault::Flip { part, place } => return self.database(part).lock().unwrap().flip(place),
            Fault::Unreadable { part } => return self.database(part).lock().unwrap().spoil(),
            Fault::LoseWitness => {
                self.device.lock().count("witness lost");
                let mut directory = self.directory();
                (directory.noted, directory.noted_durable) = (0, 0);
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

    /// Sets the size of the disk to what is used and so much more.
    pub fn leave_room(&self, bytes: u64) {
        let mut device = self.device.lock();
        device.options.capacity = device.used.saturating_add(bytes);
    }

    /// Takes everything away: a new, empty disk in the place of the old one.
    pub fn wipe(&self) {
        self.new_device_life();
        let damage_allowed = self.directory().damage_allowed;
        let fresh = Directory { damage_allowed, ..Directory::new(&self.device) };
        let old = std::mem::replace(&mut *self.directory(), fresh);
        drop(old);
        self.device.lock().count("wiped");
    }

    /// Puts a copy of another disk in the place of this one, as an operator may do by mistake.
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

    fn database(&self, part: Part) -> Arc<Mutex<Db>> {
        match part {
            Part::Log => self.directory().log.clone(),
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

    fn noted(&self) -> u64 {
        self.directory().noted
    }

    fn note(&self, sequence: u64) {
        let written_back = self.device.lock().rng.u32(..NOTES_PER_WRITE_BACK) == 0;
        let mut directory = self.directory();
        directory.noted = sequence;
        directory.noted_last = directory.noted_last.max(sequence);
        if written_back {
            directory.noted_durable = sequence;
        }
    }
}

impl Directory {
    fn new(device: &Shared) -> Self {
        const FIRST: Pointer = Pointer { generation: 1, installed: None };
        let db = |part| Arc::new(Mutex::new(Db::new(part, device.clone())));
        let (log, state) = (db(Part::Log), db(Part::State));
        Self {
            formatted: false,
            id: device.lock().rng.u64(1..),
            log,
            states: BTreeMap::from([(FIRST.generation, state)]),
            next_generation: FIRST.generation + 1,
            current: FIRST,
            current_durable: FIRST,
            noted: 0,
            noted_durable: 0,
            noted_last: 0,
            damage_allowed: false,
        }
    }

    /// Takes the databases away from the process that had them open.
    fn each_database(&mut self, then: impl Fn(&mut Db)) {
        for slot in self.states.values_mut().chain([&mut self.log]) {
            let mut db = slot.lock().unwrap().take();
            then(&mut db);
            *slot = Arc::new(Mutex::new(db));
        }
    }

    fn copy_to(&self, device: &Shared) -> Self {
        let copy = |db: &Arc<Mutex<Db>>| Arc::new(Mutex::new(db.lock().unwrap().copy_to(device.clone())));
        Self {
            log: copy(&self.log),
            states: self.states.iter().map(|(generation, db)| (*generation, copy(db))).collect(),
            ..*self
        }
    }
}

/// The ledger's reading of the records and the loader's must agree on an open log.
fn check_second_opinion(restored: &RestoredLog, facts: &LogFacts) {
    let (hard_state, ids) = facts.now();
    assert_eq!(restored.hard_state, hard_state, "the hard state is read alike");
    assert_eq!((restored.base, restored.last()), (ids.base, ids.last), "the log's ends are read alike");
    for entry in &restored.entries {
        assert!(ids.covers(entry.id), "entry {} is read alike", entry.id);
    }
}
