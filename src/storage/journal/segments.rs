//! The segments, and which of them must be kept.
//!
//! The writer takes and fills segments, the storer releases them.

use crate::storage::error::StorageError;
use crate::storage::journal::files::{JournalFiles, SegmentFile};
use crate::storage::journal::floor::Floor;
use crate::storage::journal::settings::JournalSettings;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct Segment {
    pub file: Box<dyn SegmentFile>,
    pub bytes: usize,
}

pub(crate) struct Segments {
    files: Arc<dyn JournalFiles>,
    settings: JournalSettings,
    state: Mutex<Pool>,
}

struct Pool {
    /// Segments whose content is not needed any more.
    idle: VecDeque<Segment>,
    /// Full segments, each with the number of its last record; oldest first.
    full: VecDeque<(u64, Segment)>,
    /// How many there are, including the one in use.
    count: u32,
    /// To go with the next header.
    floor: Floor,
}

impl Segments {
    pub(crate) fn new(
        files: Arc<dyn JournalFiles>,
        settings: JournalSettings,
        idle: VecDeque<Segment>,
        full: VecDeque<(u64, Segment)>,
        count: u32,
        floor: Floor,
    ) -> Self {
        Self { files, settings, state: Mutex::new(Pool { idle, full, count, floor }) }
    }

    fn state(&self) -> MutexGuard<'_, Pool> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a segment to write to, if one is idle.
    pub(crate) fn take(&self) -> Option<Segment> {
        self.state().idle.pop_front()
    }

    /// Returns a segment that is full and synced.
    pub(crate) fn fill(&self, segment: Segment, last: u64) {
        self.state().full.push_back((last, segment));
    }

    /// What is not needed any more. Segments are released when a header that says so is durable.
    pub(crate) fn set_floor(&self, floor: Floor) {
        self.state().floor = floor;
    }

    pub(crate) fn floor(&self) -> Floor {
        self.state().floor
    }

    /// All records up to this one are safe in the store, or durably not needed: releases the segments that hold nothing newer.
    pub(crate) fn release(&self, through: u64) {
        let mut state = self.state();
        while let Some((_, segment)) = state.full.pop_front_if(|(last, _)| *last <= through) {
            state.idle.push_back(segment);
        }
    }

    /// Whether the writer will have to wait when its segment is full.
    pub(crate) fn are_short(&self) -> bool {
        self.state().idle.is_empty()
    }

    /// Creates another segment if none is idle and the limit allows it. False: it does not, or the disk is
    /// full; then the existing ones must do. Not to be called concurrently.
    pub(crate) fn grow(&self) -> Result<bool, StorageError> {
        let number = {
            let state = self.state();
            if !state.idle.is_empty() {
                return Ok(true);
            }
            state.count
        };
        if number >= self.settings.segments_max {
            return Ok(false);
        }
        match self.files.draft(self.settings.segment_bytes) {
            Err(error) if error.is_lack_of_room() => {
                tracing::warn!(%error, "the journal cannot grow; writes may have to wait for the store");
                self.files.discard_draft();
                return Ok(false);
            }
            drafted => drafted?,
        }
        name(&*self.files, number)?;
        let (file, _) = self.files.open(number)?;
        let mut state = self.state();
        state.count += 1;
        state.idle.push_back(Segment { file, bytes: self.settings.segment_bytes });
        Ok(true)
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.state().count) * self.settings.segment_bytes as u64
    }
}

/// Creates an empty journal: its first segments. Durable when it returns, except for the directory's own name.
pub fn create(files: &dyn JournalFiles, settings: JournalSettings) -> Result<(), StorageError> {
    for number in 0..settings.segments_min {
        make(files, number, settings.segment_bytes)?;
    }
    Ok(())
}

/// Creates a segment. Durable when it returns.
fn make(files: &dyn JournalFiles, number: u32, bytes: usize) -> Result<(), StorageError> {
    files.draft(bytes)?;
    name(files, number)
}

/// The file is synced before it is renamed, so that a file with a segment's name is always a whole segment.
fn name(files: &dyn JournalFiles, number: u32) -> Result<(), StorageError> {
    files.publish(number)?;
    files.sync_names()
}

impl std::fmt::Debug for Segments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segments").field("dir", &self.files.path()).finish_non_exhaustive()
    }
}
