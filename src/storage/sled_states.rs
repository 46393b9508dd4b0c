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
use crate::storage::current::{CurrentState, StateSettings};
use crate::storage::directory::Layout;
use crate::storage::error::{OpenError, StageError, StorageError};
use crate::storage::lock::DirectoryLock;
use crate::storage::snapshot::{Decoder, SnapshotHeader};
use crate::storage::state_store::{StagedState, StateStore, VerifiedState};
use crate::storage::table::SledTable;
use crate::storage::vacuum::{Space, Vacuum};
use crate::types::EntryId;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of records are collected before they are written; bounds the memory of an incoming snapshot.
const LOAD_BYTES: usize = 1 << 20;

/// The states, each in a sled database of its own.
#[derive(Debug)]
pub struct SledStates {
    current: Arc<CurrentState>,
    vacuum: Mutex<Vacuum>,
    /// As found at the start.
    installed: Option<EntryId>,
}

impl SledStates {
    /// Opens the state that `CURRENT` names and removes all others.
    pub(crate) fn open(
        layout: Layout,
        settings: StateSettings,
        lock: Arc<DirectoryLock>,
    ) -> Result<Self, OpenError> {
        let current = CurrentState::open(layout, settings, lock)?;
        let installed = current.installed();
        Ok(Self { current: Arc::new(current), vacuum: Mutex::default(), installed })
    }
}

impl StateStore for SledStates {
    fn table(&self) -> Arc<dyn Table> {
        self.current.table()
    }

    fn installed(&self) -> Option<EntryId> {
        self.installed
    }

    fn free_bytes(&self) -> Result<u64, StorageError> {
        let root = self.current.generations().layout().root();
        let room = rustix::fs::statvfs(root)
            .map_err(std::io::Error::from)
            .map_err(StorageError::io("look for room on the disk of", root))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn stage(&self) -> Result<Box<dyn StagedState>, StorageError> {
        self.current.generations().remove_unused()?;
        Ok(Box::new(Staged {
            table: SledTable::new(self.current.new_file()?)?,
            current: self.current.clone(),
            decoder: Decoder::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
        }))
    }

    fn vacuum(&self, live: u64, spare: u64) -> Result<bool, StorageError> {
        let mut vacuum = self.vacuum.lock().unwrap_or_else(PoisonError::into_inner);
        vacuum.step(&self.current, Space { live, spare })
    }
}

#[derive(Debug)]
struct Staged {
    table: SledTable,
    current: Arc<CurrentState>,
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
        let expected = self.current.settings().cluster;
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
        Ok(Box::new(Verified { table: Arc::new(self.table), current: self.current, header: summary.header }))
    }
}

/// A snapshot that is complete and durable, but not in use.
#[derive(Debug)]
struct Verified {
    table: Arc<SledTable>,
    current: Arc<CurrentState>,
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
        self.current.replace(self.table, self.header.last)
    }
}
