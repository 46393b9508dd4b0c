//! The state in use, and its replacement by a received snapshot.
//!
//! ```text
//! stage()     state-000002/ is made      a crash: left over, removed at the next open
//! push(..)    records go in              likewise
//! finish()    all verified and synced    likewise
//! activate()  CURRENT → state-000002     one rename: before it the old state, after it the new one
//!             state-000001/ goes with its last reader
//! ```
//!
//! The state in use may also move to a new directory by itself: see [`vacuum`](super::vacuum).

use crate::machine::Table;
use crate::storage::directory::Layout;
use crate::storage::error::{OpenError, StageError, StorageError};
use crate::storage::fsync;
use crate::storage::generation::Generations;
use crate::storage::home::Home;
use crate::storage::lock::DirectoryLock;
use crate::storage::sealed_file;
use crate::storage::sled_db::{SledDb, SledSettings};
use crate::storage::snapshot::{Decoder, SnapshotHeader};
use crate::storage::state_file::{SEGMENT_BYTES, StateFile};
use crate::storage::state_store::{StagedState, StateStore, VerifiedState};
use crate::storage::table::SledTable;
use crate::storage::vacuum::{Space, Vacuum, VacuumSettings};
use crate::types::{ClusterId, DirectoryId, EntryId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often sled cleans up the state's files. It does so between its own writes and at most half of the time.
const COLLECT_EVERY: Duration = Duration::from_millis(500);

/// How many bytes of records are collected before they are written; bounds the memory of an incoming snapshot.
const LOAD_BYTES: usize = 1 << 20;

/// The settings of a state's database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateSettings {
    pub cluster: ClusterId,
    /// The data directory that they belong to.
    pub directory: DirectoryId,
    pub cache_bytes: u64,
    pub fsync: bool,
    pub vacuum: VacuumSettings,
}

/// The content of `CURRENT`.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    generation: u64,
    /// The term and index of the last entry of the snapshot that it was made from.
    #[serde(default)]
    installed: Option<(u64, u64)>,
}

/// The content of `owner`. A state that was copied from another directory would be taken for this one's: the entries of
/// two young clusters have the same ids.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// The id of the data directory, in hexadecimal, since many JSON parsers round large numbers.
    directory: String,
}

/// The state in use, in a sled database of its own.
#[derive(Debug)]
pub struct SledStates {
    shared: Arc<Shared>,
    /// As found at the start.
    installed: Option<EntryId>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    generations: Arc<Generations>,
    settings: StateSettings,
    current: Mutex<Current>,
    vacuum: Mutex<Vacuum>,
}

/// The state in use.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) table: Arc<SledTable>,
    /// As in the [`Pointer`].
    installed: Option<(u64, u64)>,
}

impl Shared {
    pub(crate) fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn vacuum_settings(&self) -> VacuumSettings {
        self.settings.vacuum
    }

    /// An empty file in a new directory, to be removed unless it is named.
    pub(crate) fn new_file(&self) -> Result<StateFile, StorageError> {
        let generation = self.generations.fresh()?;
        let (layout, number) = (self.generations.layout(), generation.number());
        let db = open_db(layout, number, self.settings)?;
        write_owner(layout, number, self.settings)?;
        StateFile::new(db, generation)
    }

    /// Has `CURRENT` name a file that everything in the state in use has moved to. `None`: that is not the state in use
    /// any more. While the answer is held, no other state takes its place.
    pub(crate) fn name(
        &self,
        home: &Home,
        file: &StateFile,
    ) -> Result<Option<MutexGuard<'_, Current>>, StorageError> {
        let current = self.current();
        if !std::ptr::eq(current.table.home(), home) {
            return Ok(None);
        }
        // From now on CURRENT may name the directory, whatever the next line returns.
        file.generation().keep();
        let pointer = Pointer { generation: file.generation().number(), installed: current.installed };
        sealed_file::write(&self.generations.layout().current(), &pointer)?;
        Ok(Some(current))
    }
}

impl SledStates {
    /// Creates the first, empty state. Durable when it returns.
    pub(crate) fn create(layout: &Layout, settings: StateSettings) -> Result<(), StorageError> {
        const FIRST: u64 = 1;
        open_db(layout, FIRST, settings)?.make_durable()?;
        write_owner(layout, FIRST, settings)?;
        sealed_file::write(&layout.current(), &Pointer { generation: FIRST, installed: None })
    }

    /// Opens the state that `CURRENT` names and removes all others.
    pub(crate) fn open(
        layout: Layout,
        settings: StateSettings,
        lock: Arc<DirectoryLock>,
    ) -> Result<Self, OpenError> {
        let Pointer { generation: number, installed } = read_pointer(&layout)?;
        // Before the state that it named earlier is removed.
        fsync::renew_file(&layout.current())?;
        let path = layout.state(number);
        if !path.join("db").exists() {
            return Err(OpenError::Missing { path });
        }
        check_owner(&layout, number, settings)?;
        let generations = Generations::new(layout, lock);
        let generation = generations.existing(number);
        let db = open_db(generations.layout(), number, settings)?;
        let table = Arc::new(SledTable::new(StateFile::new(db, generation)?)?);
        // What was loaded is promised from now on, whether it was synced before the crash or not.
        table.make_durable()?;
        generations.remove_unused()?;
        let (current, vacuum) = (Mutex::new(Current { table, installed }), Mutex::default());
        let installed = installed.map(|(term, index)| EntryId::new(term, index));
        Ok(Self { shared: Arc::new(Shared { generations, settings, current, vacuum }), installed })
    }
}

impl StateStore for SledStates {
    fn table(&self) -> Arc<dyn Table> {
        self.shared.current().table.clone()
    }

    fn installed(&self) -> Option<EntryId> {
        self.installed
    }

    fn free_bytes(&self) -> Result<u64, StorageError> {
        let root = self.shared.generations.layout().root();
        let room = rustix::fs::statvfs(root)
            .map_err(std::io::Error::from)
            .map_err(StorageError::io("look for room on the disk of", root))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn stage(&self) -> Result<Box<dyn StagedState>, StorageError> {
        self.shared.generations.remove_unused()?;
        Ok(Box::new(Staged {
            table: SledTable::new(self.shared.new_file()?)?,
            shared: self.shared.clone(),
            decoder: Decoder::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
        }))
    }

    fn vacuum(&self, live: u64, spare: u64) -> Result<bool, StorageError> {
        let mut vacuum = self.shared.vacuum.lock().unwrap_or_else(PoisonError::into_inner);
        vacuum.step(&self.shared, Space { live, spare })
    }
}

#[derive(Debug)]
struct Staged {
    table: SledTable,
    shared: Arc<Shared>,
    decoder: Decoder,
    waiting: Vec<(Bytes, Bytes)>,
    waiting_bytes: usize,
}

impl Staged {
    fn load(&mut self) -> Result<(), StorageError> {
        self.waiting_bytes = 0;
        self.table.load(std::mem::take(&mut self.waiting))
    }
}

impl StagedState for Staged {
    fn push(&mut self, bytes: &[u8]) -> Result<(), StageError> {
        let records = self.decoder.push(bytes)?;
        let expected = self.shared.settings.cluster;
        if let Some(header) = self.decoder.header()
            && header.cluster != expected
        {
            return Err(StageError::OtherCluster { found: header.cluster, expected });
        }
        self.waiting_bytes += records.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.waiting.extend(records);
        if self.waiting_bytes >= LOAD_BYTES {
            self.load()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Box<dyn VerifiedState>, StageError> {
        self.load()?;
        let summary = self.decoder.finish()?;
        self.table.make_durable()?;
        Ok(Box::new(Verified { table: Arc::new(self.table), shared: self.shared, header: summary.header }))
    }
}

/// A snapshot that is complete and durable, but not in use.
#[derive(Debug)]
struct Verified {
    table: Arc<SledTable>,
    shared: Arc<Shared>,
    header: SnapshotHeader,
}

impl VerifiedState for Verified {
    fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    fn table(&self) -> Arc<dyn Table> {
        self.table.clone()
    }

    fn activate(self: Box<Self>) -> Result<(), StorageError> {
        let Self { table, shared, header } = *self;
        let mut current = shared.current();
        let installed = Some((header.last.term.get(), header.last.index.get()));
        let file = Arc::clone(&table.home().file());
        // From now on CURRENT may name the directory, whatever the next line returns.
        file.generation().keep();
        let pointer = Pointer { generation: file.generation().number(), installed };
        sealed_file::write(&shared.generations.layout().current(), &pointer)?;
        current.table.home().file().generation().condemn();
        let old = std::mem::replace(&mut *current, Current { table, installed });
        drop(current);
        drop(old); // Without the lock: it may close a file.
        Ok(())
    }
}

fn open_db(layout: &Layout, number: u64, settings: StateSettings) -> Result<SledDb, StorageError> {
    SledDb::open(SledSettings {
        dir: layout.state(number),
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: settings.cache_bytes,
        collect_every: Some(COLLECT_EVERY),
        fsync: settings.fsync,
    })
}

fn owner(settings: StateSettings) -> Owner {
    Owner { directory: format!("{:x}", settings.directory.get()) }
}

fn write_owner(layout: &Layout, number: u64, settings: StateSettings) -> Result<(), StorageError> {
    sealed_file::write(&layout.owner(number), &owner(settings))
}

fn check_owner(layout: &Layout, number: u64, settings: StateSettings) -> Result<(), OpenError> {
    let (path, expected) = (layout.owner(number), owner(settings));
    let value = sealed_file::read(&path)?.ok_or_else(|| OpenError::Missing { path: path.clone() })?;
    let found: Owner = serde_json::from_value(value)
        .map_err(|error| StorageError::damaged(&path, "whose state it is", error.to_string()))?;
    if found != expected {
        let reason = format!("it belongs to directory {}, not {}", found.directory, expected.directory);
        return Err(StorageError::damaged(&layout.state(number), "its owner", reason).into());
    }
    Ok(())
}

fn read_pointer(layout: &Layout) -> Result<Pointer, OpenError> {
    let path = layout.current();
    let value = sealed_file::read(&path)?.ok_or_else(|| OpenError::Missing { path: path.clone() })?;
    let pointer = serde_json::from_value(value)
        .map_err(|error| StorageError::damaged(&path, "the name of the state in use", error.to_string()))?;
    Ok(pointer)
}
