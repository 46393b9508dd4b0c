//! Where a state's records are: in one file, or in two while they move from one to the other.
//!
//! sled frees space inside its file, but the file hardly shrinks (fact 15 in [`storage`](crate::storage)). So when
//! it takes far more than what is in it, its records move to a file of their own ([`vacuum`](super::vacuum)), in
//! key order, a few at a time, while they are read and changed. A change of what has moved already is made in
//! both files. So the old file stays whole until the new one is, and a crash on the way costs nothing.

use crate::storage::error::StorageError;
use crate::storage::state_file::{self, StateFile};
use arc_swap::{ArcSwap, Guard};
use sled::IVec;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// About the most that moves while a writer may be waiting.
const BYTES_AT_ONCE: usize = 64 << 10;

/// The file that is read, and the one that it moves to.
#[derive(Debug)]
pub(crate) struct Home {
    file: ArcSwap<StateFile>,
    /// Held during each change, and while a few records move.
    moving: Mutex<Option<Moving>>,
    /// Held during a sync, and while the files are exchanged.
    syncing: Mutex<()>,
}

#[derive(Debug)]
struct Moving {
    target: Arc<StateFile>,
    /// The last record that has moved. What is above it is in the old file only.
    reached: Reached,
}

#[derive(Debug)]
enum Reached {
    Key(Option<IVec>),
    End,
}

impl Moving {
    fn has(&self, key: &[u8]) -> bool {
        match &self.reached {
            Reached::Key(reached) => reached.as_ref().is_some_and(|reached| *key <= **reached),
            Reached::End => true,
        }
    }
}

impl Home {
    pub(crate) fn new(file: StateFile) -> Self {
        Self { file: ArcSwap::from_pointee(file), moving: Mutex::new(None), syncing: Mutex::new(()) }
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> Guard<Arc<StateFile>> {
        self.file.load()
    }

    /// Sets a record, and returns the one before.
    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<IVec>, StorageError> {
        let moving = self.moving();
        if let Some(moving) = moving.as_ref().filter(|moving| moving.has(key)) {
            moving.target.insert(key, value)?;
        }
        self.file().insert(key, value)
    }

    /// Removes a record of about so many bytes.
    pub(crate) fn remove(&self, key: &[u8], bytes: usize) -> Result<Option<IVec>, StorageError> {
        let moving = self.moving();
        if let Some(moving) = moving.as_ref().filter(|moving| moving.has(key)) {
            moving.target.remove(key, bytes)?;
        }
        self.file().remove(key, bytes)
    }

    /// Returns when everything written before the call is on stable storage.
    pub(crate) fn make_durable(&self) -> Result<(), StorageError> {
        let _alone = self.syncing();
        self.file().make_durable()
    }

    pub(crate) fn size_on_disk(&self) -> Result<u64, StorageError> {
        let more = self.target().map_or(Ok(0), |target| target.db().size_on_disk())?;
        Ok(self.file().db().size_on_disk()? + more)
    }

    pub(crate) fn is_moving(&self) -> bool {
        self.target().is_some()
    }

    /// From now on the records move to this file, which is empty.
    pub(crate) fn begin_move(&self, target: StateFile) {
        *self.moving() = Some(Moving { target: Arc::new(target), reached: Reached::Key(None) });
    }

    /// The records stay where they are.
    pub(crate) fn give_up_move(&self) {
        let moving = self.moving().take();
        drop(moving); // Without the lock: it closes a file.
    }

    /// Moves the next records. False: there are no more.
    pub(crate) fn move_some(&self) -> Result<bool, StorageError> {
        let Some(target) = self.target() else { return Ok(false) };
        // Before a writer might have to wait for that.
        target.make_room(BYTES_AT_ONCE)?;
        let mut moving = self.moving();
        let Some(Moving { reached: Reached::Key(last), .. }) = &mut *moving else { return Ok(false) };
        let file = self.file();
        let start = last.as_ref().map_or(Bound::Unbounded, |last| Bound::Excluded(last.to_vec()));
        let mut records = file.range((start, Bound::Unbounded))?;
        let mut bytes = 0;
        loop {
            let Some((key, value)) = file.db().run("scan", |_| records.next().transpose())? else {
                *moving = Some(Moving { target: target.clone(), reached: Reached::End });
                break;
            };
            bytes += state_file::size(&key, value.len());
            if bytes > BYTES_AT_ONCE {
                break;
            }
            target.insert_into_room(&key, &value)?;
            file.db().count_scanned(&key)?;
            *last = Some(key);
        }
        target.wrote(BYTES_AT_ONCE);
        Ok(true)
    }

    /// Has the file that everything has moved to take the place of the old one, which is returned. `name` makes it
    /// the one that the next start opens, unless it is not wanted any more; what it answers is held until that is done.
    pub(crate) fn finish_move<T>(
        &self,
        name: impl FnOnce(&StateFile) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<Arc<StateFile>>, StorageError> {
        let Some(target) = self.target() else { return Ok(None) };
        // Most of it while nobody waits.
        target.make_durable()?;
        let _alone = self.syncing();
        // Whoever was told before that something is durable was told so of the old file.
        target.make_durable()?;
        let Some(_named) = name(&target)? else { return Ok(None) };
        let mut moving = self.moving();
        *moving = None;
        Ok(Some(self.file.swap(target)))
    }

    fn target(&self) -> Option<Arc<StateFile>> {
        self.moving().as_ref().map(|moving| moving.target.clone())
    }

    fn moving(&self) -> MutexGuard<'_, Option<Moving>> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn syncing(&self) -> MutexGuard<'_, ()> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
