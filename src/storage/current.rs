//! Which state is in use: what `CURRENT` names, and whose it is.

use crate::storage::directory::Layout;
use crate::storage::error::{OpenError, StorageError};
use crate::storage::fsync;
use crate::storage::generation::Generations;
use crate::storage::home::Home;
use crate::storage::lock::DirectoryLock;
use crate::storage::options::VacuumSettings;
use crate::storage::sealed_file;
use crate::storage::sled_db::{SledDb, SledSettings};
use crate::storage::state_file::{SEGMENT_BYTES, StateFile};
use crate::storage::table::SledTable;
use crate::types::{ClusterId, DirectoryId, EntryId};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often sled cleans up the state's files. It does so between its own writes and at most half of the time.
const COLLECT_EVERY: Duration = Duration::from_millis(500);

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

/// The state in use, and how another takes its place.
#[derive(Debug)]
pub(crate) struct CurrentState {
    generations: Arc<Generations>,
    settings: StateSettings,
    state: Mutex<InUse>,
}

#[derive(Debug)]
pub(crate) struct InUse {
    table: Arc<SledTable>,
    /// As in the [`Pointer`].
    installed: Option<(u64, u64)>,
}

impl CurrentState {
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
        Ok(Self { generations, settings, state: Mutex::new(InUse { table, installed }) })
    }

    pub(crate) fn table(&self) -> Arc<SledTable> {
        self.state().table.clone()
    }

    /// The last entry of the snapshot that it was made from, if it was.
    pub(crate) fn installed(&self) -> Option<EntryId> {
        self.state().installed.map(|(term, index)| EntryId::new(term, index))
    }

    pub(crate) fn generations(&self) -> &Generations {
        &self.generations
    }

    pub(crate) fn settings(&self) -> &StateSettings {
        &self.settings
    }

    /// An empty file in a new directory, to be removed unless it is named.
    pub(crate) fn new_file(&self) -> Result<StateFile, StorageError> {
        let generation = self.generations.fresh()?;
        let (layout, number) = (self.generations.layout(), generation.number());
        let db = open_db(layout, number, self.settings)?;
        write_owner(layout, number, self.settings)?;
        StateFile::new(db, generation)
    }

    /// Has a state that came as a snapshot up to `installed` take the place of the one in use. It is durable.
    pub(crate) fn replace(&self, table: Arc<SledTable>, installed: EntryId) -> Result<(), StorageError> {
        let installed = Some((installed.term.get(), installed.index.get()));
        let mut state = self.state();
        self.point_to(&table.home().file(), installed)?;
        state.table.home().file().generation().condemn();
        let old = std::mem::replace(&mut *state, InUse { table, installed });
        drop(state);
        drop(old); // Without the lock: it may close a file.
        Ok(())
    }

    /// Has `CURRENT` name a file that everything in the state in use has moved to. `None`: that is not the state in use
    /// any more. While the answer is held, no other state takes its place.
    pub(crate) fn name(
        &self,
        home: &Home,
        file: &StateFile,
    ) -> Result<Option<MutexGuard<'_, InUse>>, StorageError> {
        let state = self.state();
        if !std::ptr::eq(state.table.home(), home) {
            return Ok(None);
        }
        self.point_to(file, state.installed)?;
        Ok(Some(state))
    }

    fn point_to(&self, file: &StateFile, installed: Option<(u64, u64)>) -> Result<(), StorageError> {
        // From now on CURRENT may name the directory, whatever the next line returns.
        file.generation().keep();
        let pointer = Pointer { generation: file.generation().number(), installed };
        sealed_file::write(&self.generations.layout().current(), &pointer)
    }

    fn state(&self) -> MutexGuard<'_, InUse> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
