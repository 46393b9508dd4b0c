//! The store: the log as runs of entries. What matters here is the order of the operations; see the table in
//! [`log`](crate::storage::log).

use crate::raft::{Entry, HardState};
use crate::storage::error::StorageError;
use crate::storage::journal::Floor;
use crate::storage::log::backlog::Group;
use crate::storage::log::load::{self, Extent, Loaded};
use crate::storage::log::reader::Shared;
use crate::storage::log::record::{self, Base, StoredMark};
use crate::storage::log::record_store::RecordStore;
use crate::types::{DirectoryId, EntryId, Index};
use std::sync::Arc;

/// The size at which a run ends. Large enough to spread sled's cost per record over many entries, small
/// enough for memory: each of the 256 shards of sled's cache keeps a page of 16 runs.
const RUN_BYTES: usize = 4 << 10;

/// The most bytes of a run in one sled record: more than a run of several entries has, and 21 of them (a full
/// page) stay below a quarter of a segment.
const PART_BYTES: usize = 5 << 10;

/// The unit of the store's disk space.
pub(crate) const SEGMENT_BYTES: usize = 1 << 20;

/// One record of padding.
const PADDING_BYTES: usize = PART_BYTES;

/// The store on top of an engine.
#[derive(Debug)]
pub(crate) struct RunLog<R> {
    shared: Arc<Shared<R>>,
    /// Bytes of values put since the opening.
    put_bytes: u64,
}

impl<R: RecordStore> RunLog<R> {
    /// Creates an empty store. Durable when it returns.
    pub(crate) fn create(records: &R, directory: DirectoryId) -> Result<(), StorageError> {
        let base = record::encode_base(directory, Base { epoch: 0, id: EntryId::ZERO });
        records.insert(record::BASE_KEY, base)?;
        let hard_state = record::encode_hard_state(directory, Default::default());
        records.insert(record::HARD_STATE_KEY, hard_state)?;
        records.insert(record::MARK_KEY, record::encode_mark(directory, StoredMark::default()))?;
        records.make_durable()
    }

    /// Continues with a store that was [loaded](load::load), and removes what a crash left over.
    pub(crate) fn open(records: R, directory: DirectoryId, loaded: Loaded) -> Result<Self, StorageError> {
        // The new epoch first: whatever a crash leaves of older runs is left over then, as after a reset.
        if loaded.is_superseded {
            records.insert(record::BASE_KEY, record::encode_base(directory, loaded.base))?;
        }
        for key in &loaded.leftovers {
            records.remove(key)?;
        }
        if loaded.is_superseded {
            records
                .insert(record::HARD_STATE_KEY, record::encode_hard_state(directory, loaded.hard_state))?;
            records.insert(record::MARK_KEY, record::encode_mark(directory, loaded.mark))?;
        }
        // What was loaded is promised from now on, whether it was synced before the crash or not.
        records.make_durable()?;
        let shared = Shared::new(records, directory, loaded.base, loaded.runs);
        Ok(Self { shared: Arc::new(shared), put_bytes: 0 })
    }

    pub(crate) fn shared(&self) -> Arc<Shared<R>> {
        self.shared.clone()
    }

    fn records(&self) -> &R {
        &self.shared.records
    }

    /// Bytes of values put since the opening.
    pub(crate) fn put_bytes(&self) -> u64 {
        self.put_bytes
    }

    pub(crate) fn last(&self) -> EntryId {
        self.shared.index().last()
    }

    /// The last entry that is held and not compacted; 0 if there is none.
    pub(crate) fn top(&self) -> Index {
        let last = self.last().index;
        if last > self.base().id.index { last } else { Index(0) }
    }

    fn base(&self) -> Base {
        self.shared.index().base
    }

    fn put(&mut self, key: &[u8], record: Vec<u8>) -> Result<(), StorageError> {
        self.put_bytes += record.len() as u64;
        self.records().insert(key, record)
    }

    fn put_base(&mut self, base: Base) -> Result<(), StorageError> {
        self.put(record::BASE_KEY, record::encode_base(self.shared.directory, base))?;
        self.shared.index_mut().base = base;
        Ok(())
    }

    fn put_hard_state(&mut self, hard_state: HardState) -> Result<(), StorageError> {
        self.put(record::HARD_STATE_KEY, record::encode_hard_state(self.shared.directory, hard_state))
    }

    fn remove_run(&mut self, first: Index) -> Result<(), StorageError> {
        let extent = self.shared.index_mut().runs.remove(&first);
        self.remove_parts(first, extent.map_or(0, |extent| extent.parts))
    }

    /// Removes the parts from the last to the first: so a crash leaves the beginning of a run, which [`load`]
    /// recognizes as left over.
    fn remove_parts(&self, first: Index, parts: u16) -> Result<(), StorageError> {
        for part in (0..parts).rev() {
            self.records().remove(&record::run_key(first, part))?;
        }
        Ok(())
    }

    fn reset(&mut self, id: EntryId) -> Result<(), StorageError> {
        let base = Base { epoch: self.base().epoch + 1, id };
        self.put(record::BASE_KEY, record::encode_base(self.shared.directory, base))?;
        for (first, extent) in self.shared.index_mut().reset(base).into_iter().rev() {
            self.remove_parts(first, extent.parts)?;
        }
        Ok(())
    }

    /// The topmost run that reaches up to `from`.
    fn next_above(&self, from: Index) -> Option<(Index, Extent)> {
        let index = self.shared.index();
        let (first, extent) = index.runs.last_key_value()?;
        (extent.last.index >= from).then_some((*first, *extent))
    }

    /// Removes the entries from `from` on.
    fn truncate(&mut self, from: Index) -> Result<(), StorageError> {
        while let Some((first, extent)) = self.next_above(from) {
            if first >= from {
                self.remove_run(first)?;
                continue;
            }
            // Only a run of several entries can straddle, and such a run has one part: rewriting it is a
            // single operation of sled.
            let run = load::read_run(self.records(), self.shared.directory, first, extent.parts)?;
            let kept: Vec<&Entry> = run.entries.iter().filter(|entry| entry.id.index < from).collect();
            self.put_run(run.previous, &kept)?;
        }
        Ok(())
    }

    fn append(&mut self, entries: &[&Entry]) -> Result<(), StorageError> {
        let base = self.base().id.index;
        let entries = &entries[entries.partition_point(|entry| entry.id.index <= base)..];
        let Some(first) = entries.first() else {
            return Ok(());
        };
        self.truncate(first.id.index)?;
        let mut previous = self.last();
        assert_eq!(first.id.index, previous.index.next(), "the journal has no gaps");
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
        let record = record::encode_run(self.shared.directory, self.base().epoch, previous, entries);
        let mut parts = 0;
        for (part, bytes) in load::split(&record, PART_BYTES) {
            self.put(&record::run_key(first, part), bytes)?;
            parts = part + 1;
        }
        self.shared.index_mut().runs.insert(first, Extent { previous, last, parts });
        Ok(())
    }

    /// Takes over a group from the journal. Durable after a [`sync`](Self::sync).
    pub(crate) fn take_over(&mut self, group: &Group) -> Result<(), StorageError> {
        group.hard_state().map_or(Ok(()), |hard_state| self.put_hard_state(hard_state))?;
        // Consecutive entries share runs, whichever job they came with.
        let mut pending: Vec<&Entry> = Vec::new();
        for job in &group.jobs {
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
        // Last, since it vouches for everything before it.
        self.put_mark(group.number)
    }

    /// Takes note of records that are not needed, behind a [compaction](Self::compact) that says so.
    pub(crate) fn skip_to(&mut self, floor: &Floor) -> Result<(), StorageError> {
        assert_eq!(self.top(), Index(0), "nothing is left that these records could change");
        self.put_hard_state(floor.hard_state)?;
        self.put_mark(floor.number)
    }

    fn put_mark(&mut self, number: u64) -> Result<(), StorageError> {
        let mark = StoredMark { number, last: self.last() };
        self.put(record::MARK_KEY, record::encode_mark(self.shared.directory, mark))
    }

    /// Returns when all that was taken over is on stable storage.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.records().make_durable()
    }

    /// See [`RecordStore::window`].
    pub(crate) fn window(&self) -> u64 {
        self.records().window()
    }

    /// Moves the base, even to an entry that is not in the store yet; [`sweep`](Self::sweep) removes what is below it.
    pub(crate) fn compact(&mut self, through: EntryId) -> Result<(), StorageError> {
        let base = self.base();
        if through.index <= base.id.index {
            return Ok(());
        }
        if through.index <= self.top() {
            assert_eq!(self.id_at(through.index)?, Some(through), "only what is in the log can be compacted");
        }
        self.put_base(Base { id: through, ..base })
    }

    /// Removes up to `runs_max` of the runs below the base, from the bottom up. Returns how many it removed.
    pub(crate) fn sweep(&mut self, runs_max: usize) -> Result<usize, StorageError> {
        for removed in 0..runs_max {
            let Some(first) = self.shared.index().first_below_base() else { return Ok(removed) };
            self.remove_run(first)?;
        }
        Ok(runs_max)
    }

    /// Puts meaningless records, so that what was synced before is that many bytes further from the end.
    pub(crate) fn pad(&mut self, bytes: u64) -> Result<(), StorageError> {
        let goal = self.put_bytes + bytes;
        while self.put_bytes < goal {
            self.put(record::PADDING_KEY, vec![0; PADDING_BYTES])?;
        }
        self.records().remove(record::PADDING_KEY)
    }

    fn id_at(&self, at: Index) -> Result<Option<EntryId>, StorageError> {
        let Some((first, extent)) = self.shared.index().run_at(at) else { return Ok(None) };
        if extent.last.index == at {
            return Ok(Some(extent.last));
        }
        let run = load::read_run(self.records(), self.shared.directory, first, extent.parts)?;
        Ok(run.entries.iter().map(|entry| entry.id).find(|id| id.index == at))
    }
}

/// Cuts entries into runs: as many as fit, at least one.
fn runs_of<'a, 'b>(mut entries: &'a [&'b Entry]) -> impl Iterator<Item = &'a [&'b Entry]> {
    std::iter::from_fn(move || {
        let fitting = Entry::fitting(entries.iter().copied(), RUN_BYTES);
        let (run, rest) = entries.split_at(fitting.max(1).min(entries.len()));
        entries = rest;
        (!run.is_empty()).then_some(run)
    })
}
