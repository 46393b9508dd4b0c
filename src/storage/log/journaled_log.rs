//! The log: the journal in front, the store behind it.

use crate::raft::{Entry, Persist};
use crate::storage::codec::Malformed;
use crate::storage::error::StorageError;
use crate::storage::journal::{self, Journal, JournalFiles, JournalSettings, Segments};
use crate::storage::log::backlog::{Backlog, Group};
use crate::storage::log::load;
use crate::storage::log::log_store::{LogSettings, LogStore, OpenLog};
use crate::storage::log::overlay;
use crate::storage::log::reader::LogReader;
use crate::storage::log::record_store::RecordStore;
use crate::storage::log::run_log::RunLog;
use crate::storage::log::storer::{self, Storer, StorerHandle};
use crate::types::{DirectoryId, EntryId, Index};
use std::sync::{Arc, Mutex};

/// The most bytes of entries in one group, unless a single entry is larger.
const GROUP_BYTES: usize = 1 << 20;

/// Creates an empty log. Durable when it returns, except for the names of its directories.
pub fn create<R: RecordStore>(
    files: &dyn JournalFiles,
    settings: JournalSettings,
    records: &R,
    directory: DirectoryId,
) -> Result<(), StorageError> {
    journal::create(files, settings)?;
    RunLog::create(records, directory)
}

/// Opens a log made by [`create`]. `secret` is for a journal that was never used.
pub fn open<R: RecordStore + 'static>(
    files: Arc<dyn JournalFiles>,
    records: R,
    directory: DirectoryId,
    settings: LogSettings,
    secret: u64,
) -> Result<OpenLog, StorageError> {
    let mut loaded = load::load(&records, directory, settings.tail_bytes)?;
    let mut found = journal::read(files, directory, loaded.mark.number)?;
    loaded.supersede(&found.floor());
    let groups = std::mem::take(&mut found.groups);
    let recovered = groups.last().map(|(number, _)| *number);
    let damaged = |Malformed(reason)| StorageError::damaged(records.path(), "the log", reason);
    let mut job = overlay::fold(groups.into_iter().flat_map(|(_, jobs)| jobs)).map_err(damaged)?;
    if loaded.tail.base != loaded.base.id && overlay::begins_below(&loaded.tail, &job) {
        loaded = load::load(&records, directory, usize::MAX)?;
    }
    let restored = overlay::join(&mut loaded, &job).map_err(damaged)?;

    // All of it was judged: from here on, what a crash left over is removed.
    let journal = found.recover(settings.journal, secret)?;
    let stored = (loaded.mark.number, loaded.hard_state);
    let backlog = Arc::new(Backlog::new(settings.backlog_bytes));
    if let Some(number) = recovered {
        job.entries.retain(|entry| entry.id.index > restored.base.index);
        // In pieces, so that each step is small. Until the last is stored the journal is needed as it is.
        let pieces = groups_of(&[job]);
        let count = pieces.len();
        for (jobs, place) in pieces.into_iter().zip(1..) {
            backlog.push(Group::new(if place == count { number } else { stored.0 }, jobs));
        }
    }
    let segments = journal.segments.clone();
    if segments.are_short() {
        backlog.hurry();
    }
    let store = RunLog::open(records, directory, loaded)?;
    let shared = store.shared();
    let storer = Storer::new(store, backlog.clone(), segments.clone(), settings.sync_bytes, stored);
    let storer = Arc::new(Mutex::new(storer));
    let handle = StorerHandle {
        storer: storer.clone(),
        backlog: backlog.clone(),
        segments: segments.clone(),
        store: shared.clone(),
    };
    let log = JournaledLog {
        journal,
        segments,
        backlog,
        storer,
        reader: shared,
        begins: restored.base.index,
        last: restored.last().index,
        has_begun_segment: false,
        failed: None,
    };
    Ok(OpenLog { log: Box::new(log), storer: Box::new(handle), restored })
}

struct JournaledLog<R> {
    journal: Journal,
    segments: Arc<Segments>,
    backlog: Arc<Backlog>,
    storer: Arc<Mutex<Storer<R>>>,
    reader: Arc<dyn LogReader>,
    /// The index before the first entry, and the last entry written.
    begins: Index,
    last: Index,
    /// Whether the header of a segment has yet to be synced.
    has_begun_segment: bool,
    failed: Option<StorageError>,
}

impl<R: RecordStore> JournaledLog<R> {
    fn write_jobs(&mut self, jobs: &[Persist]) -> Result<(), StorageError> {
        // In the journal, but not durable yet.
        let mut pending = Vec::new();
        for group in groups_of(jobs) {
            self.check(&group);
            self.journal.put(&group);
            let number = loop {
                match self.journal.fill()? {
                    journal::Filled::Whole(number) => break number,
                    journal::Filled::SegmentFull => {
                        // Everything pending was synced together with the segment.
                        self.hand_over(&mut pending);
                        self.go_on()?;
                    }
                }
            };
            pending.push(Group::new(number, group));
        }
        self.journal.sync()?;
        self.hand_over(&mut pending);
        // Only now, since the header of a new segment may have released others.
        if std::mem::take(&mut self.has_begun_segment) && self.segments.are_short() {
            self.backlog.hurry();
        }
        Ok(())
    }

    fn check(&mut self, group: &[Persist]) {
        for job in group {
            if let Some(base) = job.reset {
                (self.begins, self.last) = (base.index, base.index);
            }
            let (Some(first), Some(last)) = (job.entries.first(), job.entries.last()) else { continue };
            assert!(
                first.id.index > self.begins && first.id.index <= self.last.next(),
                "the core appends without gaps and never below the base"
            );
            self.last = last.id.index;
        }
    }

    fn hand_over(&self, durable: &mut Vec<Group>) {
        for group in durable.drain(..) {
            self.backlog.push(group);
        }
    }

    /// Begins another segment. If there is none, the store is behind, and the writer does the storer's work
    /// itself: making the writer wait bounds memory and disk.
    fn go_on(&mut self) -> Result<(), StorageError> {
        let segment = match self.segments.take() {
            Some(segment) => segment,
            None => {
                storer::lock(&self.storer).relieve()?;
                self.segments.take().ok_or_else(|| StorageError::Engine {
                    action: "make room in the journal",
                    path: self.journal.files.path().to_owned(),
                    reason:
                        "a single write is larger than all of it; this is a bug in Kontiki, please report it"
                            .into(),
                })?
            }
        };
        self.journal.begin(segment);
        self.has_begun_segment = true;
        Ok(())
    }

    fn is_sound(&self) -> Result<(), StorageError> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

impl<R: RecordStore> LogStore for JournaledLog<R> {
    fn write(&mut self, jobs: &[Persist]) -> Result<(), StorageError> {
        self.is_sound()?;
        // A failed fsync is final: the data is lost, and the next fsync would not report it.
        self.write_jobs(jobs).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn compact(&mut self, through: EntryId) -> Result<(), StorageError> {
        self.is_sound()?;
        if through.index > self.begins {
            self.begins = through.index;
            self.backlog.compact(through);
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.reader.clone()
    }
}

impl<R> Drop for JournaledLog<R> {
    fn drop(&mut self) {
        self.backlog.close();
    }
}

/// Cuts jobs into groups of about [`GROUP_BYTES`]. Each continues where the previous one ended, so that a log
/// that ends with any of them is a valid log of this node.
fn groups_of(jobs: &[Persist]) -> Vec<Vec<Persist>> {
    let mut groups = Vec::new();
    let (mut group, mut bytes) = (Vec::new(), 0);
    for job in jobs.iter().filter(|job| !is_empty(job)) {
        let mut rest = job.clone();
        loop {
            let fits = Entry::fitting(&rest.entries, GROUP_BYTES.saturating_sub(bytes));
            let least = usize::from(group.is_empty()).min(rest.entries.len());
            let tail = rest.entries.split_off(fits.max(least));
            bytes += rest.entries.iter().map(Entry::size).sum::<usize>();
            let mark = rest.mark;
            if !is_empty(&rest) {
                group.push(rest);
            }
            if tail.is_empty() {
                break;
            }
            groups.push(std::mem::take(&mut group));
            bytes = 0;
            rest = Persist { mark, hard_state: None, reset: None, entries: tail };
        }
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

fn is_empty(job: &Persist) -> bool {
    job.hard_state.is_none() && job.reset.is_none() && job.entries.is_empty()
}
