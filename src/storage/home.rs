//! Where a state's records are: in one file, or in two while they move from one to the other.
//!
//! sled frees space inside its file, but the file hardly shrinks (fact 15 in [`storage`](crate::storage)). So when
//! it takes far more than what is in it, its records move to a file of their own ([`vacuum`](super::vacuum)), in
//! key order, a few at a time, while they are read and changed. A change of what has moved already is made in
//! both files. So the old file stays whole until the new one is, and neither a crash on the way nor a failure of the new
//! file costs anything.

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
    /// Nothing more goes to the new file: it has failed.
    Failed,
}

impl Moving {
    fn has(&self, key: &[u8]) -> bool {
        match &self.reached {
            Reached::Key(reached) => reached.as_ref().is_some_and(|reached| *key <= **reached),
            Reached::End => true,
            Reached::Failed => false,
        }
    }

    /// Makes a change in the new file too. It is not the state's, so its failure is none of the writer's business.
    fn repeat<T>(&mut self, change: impl FnOnce(&StateFile) -> Result<T, StorageError>) {
        if let Err(error) = change(&self.target) {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &StorageError) {
        tracing::warn!(%error, "the smaller file for the state has failed: the state stays where it is");
        self.reached = Reached::Failed;
    }
}

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Not to the end.
    Some,
    All,
    /// It cannot go on: the new file has failed, or there is none.
    Failed,
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
        let mut moving = self.moving();
        if let Some(moving) = moving.as_mut().filter(|moving| moving.has(key)) {
            moving.repeat(|target| target.insert(key, value));
        }
        self.file().insert(key, value)
    }

    /// Removes a record of about so many bytes.
    pub(crate) fn remove(&self, key: &[u8], bytes: usize) -> Result<Option<IVec>, StorageError> {
        let mut moving = self.moving();
        if let Some(moving) = moving.as_mut().filter(|moving| moving.has(key)) {
            moving.repeat(|target| target.remove(key, bytes));
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

    /// Moves the next records.
    pub(crate) fn move_some(&self) -> Result<Moved, StorageError> {
        let Some(target) = self.target() else { return Ok(Moved::Failed) };
        // Before a writer might have to wait for that.
        let room = target.make_room(BYTES_AT_ONCE);
        let mut guard = self.moving();
        let Some(moving) = guard.as_mut() else { return Ok(Moved::Failed) };
        let last = match &moving.reached {
            Reached::Key(last) => last.clone(),
            Reached::End => return Ok(Moved::All),
            Reached::Failed => return Ok(Moved::Failed),
        };
        let (records, has_more) = self.records_after(last)?;
        let copied = room.and_then(|()| {
            records.iter().try_for_each(|(key, value)| target.insert_into_room(key, value).map(drop))
        });
        if let Err(error) = copied {
            moving.fail(&error);
            return Ok(Moved::Failed);
        }
        target.wrote(BYTES_AT_ONCE);
        if has_more {
            moving.reached = Reached::Key(records.last().map(|(key, _)| key.clone()));
            return Ok(Moved::Some);
        }
        moving.reached = Reached::End;
        Ok(Moved::All)
    }

    /// The next records that move at once, and whether there are more.
    fn records_after(&self, last: Option<IVec>) -> Result<(Vec<(IVec, IVec)>, bool), StorageError> {
        let file = self.file();
        let start = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.to_vec()));
        let mut records = file.range((start, Bound::Unbounded))?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some((key, value)) = file.db().run("scan", |_| records.next().transpose())? {
            bytes += state_file::size(&key, value.len());
            if bytes > BYTES_AT_ONCE && !found.is_empty() {
                return Ok((found, true));
            }
            file.db().count_scanned(&key)?;
            found.push((key, value));
        }
        Ok((found, false))
    }

    /// Has the file that everything has moved to take the place of the old one, which is returned. `name` makes it
    /// the one that the next start opens, unless it is not wanted any more; what it answers is held until that is done.
    pub(crate) fn finish_move<T>(
        &self,
        name: impl FnOnce(&StateFile) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<Arc<StateFile>>, StorageError> {
        let Some(target) = self.target() else { return Ok(None) };
        // Most of it while nobody waits.
        if !self.is_whole(target.make_durable()) {
            return Ok(None);
        }
        let _alone = self.syncing();
        // Whoever was told before that something is durable was told so of the old file.
        if !self.is_whole(target.make_durable()) {
            return Ok(None);
        }
        let Some(_named) = name(&target)? else { return Ok(None) };
        let mut moving = self.moving();
        // From here on its failure is the state's: what it lacks was promised to nobody yet.
        target.db().check()?;
        *moving = None;
        Ok(Some(self.file.swap(target)))
    }

    /// Whether the new file has everything, after a sync with this outcome.
    fn is_whole(&self, synced: Result<(), StorageError>) -> bool {
        let mut moving = self.moving();
        let Some(moving) = moving.as_mut() else { return false };
        if let Err(error) = synced {
            moving.fail(&error);
        }
        matches!(moving.reached, Reached::End)
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
