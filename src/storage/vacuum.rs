//! Gives back the disk space that a state takes without need.
//!
//! sled uses freed segments again, but keeps them: after a compaction of everything a state's file stays as large as it
//! ever was (fact 15 in [`storage`](crate::storage)). So when it is far larger than its records, they move to a new
//! file beside it ([`home`](super::home)), a small step at a time. Where there is no room for two files it stays.
//!
//! | after a crash while | `CURRENT` names | the next open |
//! |---|---|---|
//! | records move | the old file, which is whole | removes the new one |
//! | the files are exchanged | the old or the new one: both have all that was synced | removes the other |

use crate::storage::current::CurrentState;
use crate::storage::error::StorageError;
use crate::storage::home::{Home, Moved};
use crate::storage::options::VacuumSettings;
use crate::storage::state_file::StateFile;
use std::sync::Arc;
use std::time::Instant;

/// With so much more spare room than a new file may take, a move begins: other nodes may begin one on the same disk…
const SPARE_BYTES: u64 = 16 << 20;

/// …and with less than this it is given up.
const SPARE_BYTES_MIN: u64 = 1 << 20;

/// A file into which records were put in order is up to so many times as large as they are.
const NEW_FILE_TIMES: u64 = 2;

/// What is known about a state and its disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    /// The size of its records.
    pub(crate) live: u64,
    /// How much of the disk is free and may be used.
    pub(crate) spare: u64,
}

/// How far it has come.
#[derive(Debug, Default)]
pub(crate) struct Vacuum {
    /// The size of the records at the last look.
    live: u64,
    /// What the last attempt achieved: the size of the records then, and that of the file afterwards.
    achieved: Option<(u64, u64)>,
    /// A file that is not used any more, except by those who are still reading it.
    retired: Option<Arc<StateFile>>,
}

impl Vacuum {
    /// Does a step, if the file is too large. Answers whether there is more to do soon.
    pub(crate) fn step(&mut self, current: &CurrentState, space: Space) -> Result<bool, StorageError> {
        // Closing a file takes a moment: a reader on the network's thread must not be the one to do it.
        drop(self.retired.take_if(|file| Arc::strong_count(file) == 1));
        let table = current.table();
        let home = table.home();
        if home.is_moving() {
            return self.go_on(current, home, space);
        }
        // While garbage is being removed, most of what would move is still to be removed.
        let is_settled = space.live >= self.live - self.live / 8;
        self.live = space.live;
        let size = home.size_on_disk()?;
        if !is_settled || self.retired.is_some() || !self.is_worthwhile(size, space.live, current) {
            return Ok(false);
        }
        if space.spare < NEW_FILE_TIMES * space.live + SPARE_BYTES {
            return Ok(false);
        }
        tracing::info!(size, records = space.live, "the state moves to a smaller file");
        match current.new_file() {
            Ok(file) => home.begin_move(file),
            Err(error) => {
                // The state in use is not concerned. Not again before something has changed.
                tracing::warn!(%error, "a smaller file for the state cannot be made");
                self.achieved = Some((space.live, size));
            }
        }
        Ok(home.is_moving())
    }

    fn is_worthwhile(&self, size: u64, live: u64, current: &CurrentState) -> bool {
        let VacuumSettings { times, bytes, .. } = current.settings().vacuum;
        let is_too_large = size > live.saturating_mul(times).saturating_add(bytes);
        // Not again if that would achieve the same.
        let has_changed =
            |(before, achieved): (u64, u64)| size > achieved + achieved / 4 || live < before - before / 4;
        is_too_large && self.achieved.is_none_or(has_changed)
    }

    fn go_on(&mut self, current: &CurrentState, home: &Home, space: Space) -> Result<bool, StorageError> {
        if space.spare < SPARE_BYTES_MIN {
            tracing::warn!("the disk is too full for the state to move to a smaller file");
            home.give_up_move();
            return Ok(false);
        }
        let begun = Instant::now();
        loop {
            match home.move_some()? {
                Moved::All => return self.finish(current, home, space).map(|()| false),
                Moved::Failed => return self.give_up(home, space).map(|()| false),
                Moved::Some if begun.elapsed() >= current.settings().vacuum.step => return Ok(true),
                Moved::Some => {}
            }
        }
    }

    /// Leaves the records where they are, and does not try again before something has changed.
    fn give_up(&mut self, home: &Home, space: Space) -> Result<(), StorageError> {
        home.give_up_move();
        self.achieved = Some((space.live, home.size_on_disk()?));
        Ok(())
    }

    fn finish(&mut self, current: &CurrentState, home: &Home, space: Space) -> Result<(), StorageError> {
        let Some(old) = home.finish_move(|file| current.name(home, file))? else {
            // The new file has failed, or a snapshot was put in the old one's place.
            return self.give_up(home, space);
        };
        old.generation().condemn();
        let size = home.size_on_disk()?;
        tracing::info!(before = old.db().size_on_disk()?, size, "the state has moved to a smaller file");
        self.achieved = Some((space.live, size));
        self.retired = Some(old);
        Ok(())
    }
}
