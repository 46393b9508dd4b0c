//! The log as runs of entries. The order of the operations is the matter here;
//! see the table in [`log`](crate::storage::log).

use crate::raft::{Entry, HardState, Persist};
use crate::storage::error::StorageError;
use crate::storage::log::load::{self, Extent, Loaded};
use crate::storage::log::record::{self, Base, Stamp};
use crate::storage::log::record_store::RecordStore;
use crate::storage::log::{LogStore, RestoredLog};
use crate::types::{ClusterId, EntryId, Index};
use std::collections::BTreeMap;

/// Where a run ends. Large enough that sled's cost per record is spread over many
/// entries, small enough that rewriting one at a truncation is cheap.
const RUN_BYTES: usize = 64 << 10;

/// What of a run goes into one sled record: more than a run of several entries
/// has, and 21 of them (a full page) stay below a quarter of a segment.
const PART_BYTES: usize = 80 << 10;

/// Segments are what the log's disk space comes in; it levels off at about five.
pub(crate) const SEGMENT_BYTES: usize = 8 << 20;

/// The log over some engine.
#[derive(Debug)]
pub struct RunLog<R> {
    records: R,
    cluster: ClusterId,
    base: Base,
    runs: BTreeMap<Index, Extent>,
    /// The number of the last record written.
    sequence: u64,
}

impl<R: RecordStore> RunLog<R> {
    /// Makes an empty log. Durable when it returns.
    pub fn create(records: &R, cluster: ClusterId) -> Result<(), StorageError> {
        let stamp = Stamp { cluster, sequence: 0 };
        let base = record::encode_base(stamp, Base { epoch: 0, id: EntryId::ZERO });
        records.insert(record::BASE_KEY, base)?;
        let hard_state = record::encode_hard_state(stamp, HardState::default());
        records.insert(record::HARD_STATE_KEY, hard_state)?;
        records.make_durable()
    }

    /// Opens a log that [`create`](Self::create) made, and removes what a crash left over.
    pub fn open(records: R, cluster: ClusterId) -> Result<(Self, RestoredLog), StorageError> {
        let Loaded { log, base, sequence, runs, leftovers } = load::load(&records, cluster)?;
        for key in leftovers {
            records.remove(&key)?;
        }
        // Also what was loaded is promised from here on, synced before the crash or not.
        records.make_durable()?;
        Ok((Self { records, cluster, base, runs, sequence }, log))
    }

    fn last(&self) -> EntryId {
        self.runs.last_key_value().map_or(self.base.id, |(_, extent)| extent.last)
    }

    /// For the next record. Each has a number of its own: were it one for a whole write, the
    /// first record of a write could vouch for the last, which a damaged end has taken.
    fn stamp(&mut self) -> Stamp {
        self.sequence += 1;
        Stamp { cluster: self.cluster, sequence: self.sequence }
    }

    fn put_base(&mut self, base: Base) -> Result<(), StorageError> {
        let record = record::encode_base(self.stamp(), base);
        self.records.insert(record::BASE_KEY, record)?;
        self.base = base;
        Ok(())
    }

    /// The last of them speaks for all.
    fn put_hard_state(&mut self, jobs: &[Persist]) -> Result<(), StorageError> {
        let Some(hard_state) = jobs.iter().rev().find_map(|job| job.hard_state) else { return Ok(()) };
        let record = record::encode_hard_state(self.stamp(), hard_state);
        self.records.insert(record::HARD_STATE_KEY, record)
    }

    /// Removes the parts from the last to the first: what a crash leaves is then
    /// the beginning of a run, which [`load`] knows as left over.
    fn remove_run(&mut self, first: Index) -> Result<(), StorageError> {
        if let Some(extent) = self.runs.remove(&first) {
            for part in (0..extent.parts).rev() {
                self.records.remove(&record::run_key(first, part))?;
            }
        }
        Ok(())
    }

    fn reset(&mut self, id: EntryId) -> Result<(), StorageError> {
        self.put_base(Base { epoch: self.base.epoch + 1, id })?;
        while let Some((first, _)) = self.runs.last_key_value() {
            self.remove_run(*first)?;
        }
        Ok(())
    }

    /// The topmost run that reaches up to `from`.
    fn next_above(&self, from: Index) -> Option<(Index, Extent)> {
        let runs = self.runs.iter().rev().map(|(first, extent)| (*first, *extent));
        runs.take_while(|(_, extent)| extent.last.index >= from).next()
    }

    /// Removes the entries from `from` on.
    fn truncate(&mut self, from: Index) -> Result<(), StorageError> {
        if self.last().index < from {
            return Ok(());
        }
        // A higher number must be in the log before the run that carries the highest
        // goes: a crash in between would look like a lost tail.
        self.put_base(self.base)?;
        while let Some((first, extent)) = self.next_above(from) {
            if first >= from {
                self.remove_run(first)?;
                continue;
            }
            // Only a run of several entries can straddle, and that has one part: the
            // rewriting is one operation of sled.
            let run = load::read_run(&self.records, self.cluster, first, extent.parts)?;
            let kept: Vec<&Entry> = run.entries.iter().filter(|entry| entry.id.index < from).collect();
            self.put_run(run.previous, &kept)?;
        }
        Ok(())
    }

    fn append(&mut self, entries: &[&Entry]) -> Result<(), StorageError> {
        let Some(first) = entries.first() else {
            return Ok(());
        };
        self.truncate(first.id.index)?;
        let mut previous = self.last();
        assert_eq!(
            first.id.index,
            previous.index.next(),
            "the core appends without gaps and never below the base"
        );
        for run in runs_of(entries) {
            self.put_run(previous, run)?;
            previous = self.last();
        }
        Ok(())
    }

    fn put_run(&mut self, previous: EntryId, entries: &[&Entry]) -> Result<(), StorageError> {
        let (first, last) = match entries {
            [first, .., last] => (first.id.index, last.id),
            [one] => (one.id.index, one.id),
            [] => return Ok(()),
        };
        let record = record::encode_run(self.stamp(), self.base.epoch, previous, entries);
        let mut parts = 0;
        for (part, bytes) in load::split(&record, PART_BYTES) {
            self.records.insert(&record::run_key(first, part), bytes)?;
            parts = part + 1;
        }
        self.runs.insert(first, Extent { previous, last, parts });
        Ok(())
    }

    fn write_jobs(&mut self, jobs: &[Persist]) -> Result<(), StorageError> {
        // It goes first: entries never stand in the log without the term in which
        // they were accepted. Being early is harmless, since nobody is told of it
        // before the end.
        self.put_hard_state(jobs)?;
        // Entries that continue each other become one run, whichever job they came with.
        let mut pending: Vec<&Entry> = Vec::new();
        for job in jobs {
            if let Some(base) = job.reset {
                pending.clear();
                self.reset(base)?;
            }
            let continues = match (pending.last(), job.entries.first()) {
                (Some(last), Some(first)) => first.id.index == last.id.index.next(),
                _ => true,
            };
            if !continues {
                self.append(&pending)?;
                pending.clear();
            }
            pending.extend(&job.entries);
        }
        self.append(&pending)?;
        self.records.make_durable()?;
        self.records.note(self.sequence)
    }

    fn id_at(&self, index: Index) -> Result<Option<EntryId>, StorageError> {
        let Some((&first, &extent)) = self.runs.range(..=index).next_back() else {
            return Ok(None);
        };
        if extent.last.index == index {
            return Ok(Some(extent.last));
        }
        let run = load::read_run(&self.records, self.cluster, first, extent.parts)?;
        Ok(run.entries.iter().map(|entry| entry.id).find(|id| id.index == index))
    }

    fn compact_to(&mut self, through: EntryId) -> Result<(), StorageError> {
        assert_eq!(self.id_at(through.index)?, Some(through), "only what is in the log can be compacted");
        self.put_base(Base { id: through, ..self.base })?;
        while let Some((&first, extent)) = self.runs.first_key_value() {
            if extent.last.index > through.index {
                break;
            }
            self.remove_run(first)?;
        }
        Ok(())
    }
}

impl<R: RecordStore> LogStore for RunLog<R> {
    fn write(&mut self, jobs: &[Persist]) -> Result<(), StorageError> {
        self.records.check()?;
        if jobs.iter().all(|job| job.hard_state.is_none() && job.reset.is_none() && job.entries.is_empty()) {
            return Ok(());
        }
        self.write_jobs(jobs).map_err(|error| self.records.fail(error))
    }

    fn compact(&mut self, through: EntryId) -> Result<(), StorageError> {
        self.records.check()?;
        if through.index <= self.base.id.index {
            return Ok(());
        }
        self.compact_to(through).map_err(|error| self.records.fail(error))
    }

    fn size_on_disk(&self) -> Result<u64, StorageError> {
        self.records.size_on_disk()
    }
}

/// Cuts entries into runs: as many as fit, at least one.
fn runs_of<'a, 'b>(mut entries: &'a [&'b Entry]) -> impl Iterator<Item = &'a [&'b Entry]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = entries.iter().take_while(|entry| {
            bytes += entry.size();
            bytes <= RUN_BYTES
        });
        let count = fitting.count().max(1).min(entries.len());
        let (run, rest) = entries.split_at(count);
        entries = rest;
        (!run.is_empty()).then_some(run)
    })
}
