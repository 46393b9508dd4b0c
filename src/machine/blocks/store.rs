//! The store, shared by the writer, the saver and the readers.

use crate::kv::TableError;
use crate::machine::blocks::block::{self, BLOCK_BYTES, block_key};
use crate::machine::blocks::cache::Records;
use crate::machine::blocks::directory::{Directory, Info, Pass};
use crate::machine::meta::Meta;
use crate::machine::state_table::Garbage;
use crate::machine::stored::{Ordinal, Stored};
use crate::machine::table::Table;
use crate::types::EntryId;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// From this many on, records are read block by block and not kept in the cache: such a read is hardly repeated.
const MANY_RECORDS: usize = 64;

pub(crate) struct Store {
    pub(super) table: Arc<dyn Table>,
    cache: Records,
    /// Held while the table is changed; taken before `lookup`.
    writing: Mutex<Writing>,
    lookup: RwLock<Lookup>,
    /// The first failure that a reader met. What is damaged is not kept: from then on it cannot be saved.
    failure: OnceLock<TableError>,
}

/// Where the writing stands.
pub(super) struct Writing {
    /// As of the last commit: what the next save writes.
    meta: Meta,
    /// What is in the table.
    saved: Meta,
    /// How many of the fresh records belong to committed entries.
    committed: usize,
    /// How many of these are in the table as the open block.
    open: usize,
    /// What the last commit's meta record counts no longer, and the table's still does.
    doomed: Vec<Garbage>,
    /// What the table's counts no longer, in no full block yet.
    doomed_fresh: Vec<Garbage>,
    /// The cleaning under way.
    pub(super) pass: Option<Pass>,
}

/// Where records are found.
pub(super) struct Lookup {
    pub(super) directory: Directory,
    /// What is in no full block yet, oldest first.
    fresh: VecDeque<Stored>,
}

impl Store {
    /// Over a table with these full blocks, and nothing above them.
    pub(super) fn new(table: Arc<dyn Table>, cache_bytes: u64, meta: Meta, directory: Directory) -> Self {
        let pass = Pass::over(&directory);
        let writing = Writing {
            saved: meta.clone(),
            meta,
            committed: 0,
            open: 0,
            doomed: Vec::new(),
            doomed_fresh: Vec::new(),
            pass,
        };
        Self {
            table,
            cache: Records::new(cache_bytes),
            writing: Mutex::new(writing),
            lookup: RwLock::new(Lookup { directory, fresh: VecDeque::new() }),
            failure: OnceLock::new(),
        }
    }

    /// The bytes of the record at a place that its table names.
    pub(crate) fn read(&self, at: Ordinal) -> Result<Bytes, TableError> {
        self.noted(self.find(at))
    }

    /// Remembers a failure, which the node must not outlive: whoever asked only learns that it cannot be answered.
    pub(crate) fn noted<T>(&self, outcome: Result<T, TableError>) -> Result<T, TableError> {
        outcome.inspect_err(|failure| drop(self.failure.set(failure.clone())))
    }

    fn find(&self, at: Ordinal) -> Result<Bytes, TableError> {
        if let Some(bytes) = self.cache.get(at) {
            return Ok(bytes);
        }
        let mut looked_in = None;
        loop {
            let first = {
                let lookup = self.lookup();
                if let Some(fresh) = lookup.fresh_at(at) {
                    return Ok(fresh.bytes.clone());
                }
                lookup.directory.block_of(at).map(|(first, _)| first)
            };
            let missing = || TableError(format!("the record of revision {at} is missing"));
            // The writer may have joined the block with the one below meanwhile: then it is looked for again.
            let first = first.filter(|first| looked_in != Some(*first)).ok_or_else(missing)?;
            if let Some(bytes) = self.table.get(&block_key(first))?
                && let Some(found) = block::find(first, &bytes, at)?
            {
                return Ok(self.cache.insert(at, &found.bytes));
            }
            looked_in = Some(first);
        }
    }

    /// The same for many places: each block is read once, however its records are scattered over them.
    pub(crate) fn read_many(&self, places: &[Ordinal]) -> Result<Vec<Bytes>, TableError> {
        if places.len() < MANY_RECORDS {
            return places.iter().map(|at| self.read(*at)).collect();
        }
        let mut in_order: Vec<_> = (0..places.len()).collect();
        in_order.sort_unstable_by_key(|nth| places[*nth]);
        let mut found = vec![Bytes::new(); places.len()];
        let mut block = Vec::new();
        for nth in in_order {
            let at = places[nth];
            if block.last().is_none_or(|last: &Stored| last.at < at) {
                block = self.noted(self.block_of(at))?;
            }
            found[nth] = match block.binary_search_by_key(&at, |record| record.at) {
                // A copy: a slice would keep the whole block in memory.
                Ok(found) => Bytes::copy_from_slice(&block[found].bytes),
                // It is fresh, or was moved meanwhile.
                Err(_) => self.read(at)?,
            };
        }
        Ok(found)
    }

    /// The records of the block that has a place; none if there is no such block any more, or not yet.
    fn block_of(&self, at: Ordinal) -> Result<Vec<Stored>, TableError> {
        let Some((first, _)) = self.lookup().directory.block_of(at) else { return Ok(Vec::new()) };
        let bytes = self.table.get(&block_key(first))?;
        bytes.map_or(Ok(Vec::new()), |bytes| block::decode(first, &bytes))
    }

    /// The records of the next block behind a place, or those that are in no block yet; none at the end.
    pub(crate) fn records_after(&self, at: Ordinal) -> Result<Vec<Stored>, TableError> {
        self.noted(self.find_after(at))
    }

    fn find_after(&self, mut at: Ordinal) -> Result<Vec<Stored>, TableError> {
        let mut looked_in = None;
        loop {
            let (first, info) = {
                let lookup = self.lookup();
                match lookup.directory.block_after(at) {
                    None => return Ok(lookup.fresh_after(at, BLOCK_BYTES)),
                    Some(block) => block,
                }
            };
            match self.table.get(&block_key(first))? {
                Some(bytes) => {
                    let mut records = block::decode(first, &bytes)?;
                    records.retain(|record| record.at > at);
                    if !records.is_empty() {
                        return Ok(records);
                    }
                    // They have left it since the directory was asked.
                    at = info.last;
                }
                None if looked_in == Some(first) => return Err(block::damaged(first, "it is missing")),
                None => looked_in = Some(first),
            }
        }
    }

    /// Adds a record of the entry being applied. Readers can find it, but know of no revision that has it.
    pub(crate) fn push(&self, record: Stored) {
        let mut lookup = self.lookup_mut();
        debug_assert!(
            lookup.fresh.back().is_none_or(|last| last.at < record.at),
            "records are made in order"
        );
        lookup.fresh.push_back(record);
    }

    /// Takes back the last records.
    pub(crate) fn take_back(&self, count: usize) {
        let mut lookup = self.lookup_mut();
        let left = lookup.fresh.len() - count;
        lookup.fresh.truncate(left);
    }

    /// Shows the last records, oldest first.
    pub(crate) fn show_last(&self, count: usize, visit: &mut dyn FnMut(&Stored)) {
        let lookup = self.lookup();
        let first = lookup.fresh.len() - count;
        lookup.fresh.range(first..).for_each(visit);
    }

    /// All records so far belong to entries that `meta` includes, and what is `doomed` it counts no longer.
    /// Writes the blocks that are full.
    pub(crate) fn commit(&self, meta: &Meta, doomed: Vec<Garbage>) -> Result<(), TableError> {
        let mut writing = self.lock_writing();
        writing.meta.clone_from(meta);
        writing.doomed.extend(doomed);
        writing.committed = self.lookup().fresh.len();
        loop {
            let full = self.lookup().full_block(writing.committed);
            if full.is_empty() {
                return Ok(());
            }
            self.write_block(&mut writing, &full)?;
        }
    }

    fn write_block(&self, writing: &mut Writing, records: &[Stored]) -> Result<(), TableError> {
        let (first, mut info) = (records[0].at, Info::of(records));
        self.table.set(&block_key(first), &block::encode(first, records))?;
        for doomed in writing.doomed_fresh.extract_if(.., |record| record.at <= info.last) {
            info.garbage += 1;
            info.tombstones += u32::from(doomed.tombstone);
        }
        writing.committed -= records.len();
        writing.open = 0;
        let mut lookup = self.lookup_mut();
        lookup.directory.set(first, info);
        lookup.fresh.drain(..records.len());
        Ok(())
    }

    /// Writes what is committed and not in the table yet: a sync of the table makes it durable. Answers how far
    /// that is. Fails if a reader has met damage.
    pub(crate) fn save(&self) -> Result<EntryId, TableError> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        self.save_at(&mut self.lock_writing())
    }

    pub(super) fn save_at(&self, writing: &mut Writing) -> Result<EntryId, TableError> {
        if writing.saved == writing.meta {
            // A table may have ceased to count a record before it drops it.
            self.name_garbage(writing);
            return Ok(writing.saved.applied);
        }
        if writing.open < writing.committed {
            let open: Vec<_> = self.lookup().fresh.range(..writing.committed).cloned().collect();
            self.table.set(&block_key(open[0].at), &block::encode(open[0].at, &open))?;
            writing.open = writing.committed;
        }
        self.table.set(&Meta::TABLE_KEY, &writing.meta.encode())?;
        writing.saved.clone_from(&writing.meta);
        self.name_garbage(writing);
        Ok(writing.saved.applied)
    }

    /// What the meta record in the table counts no longer may leave it.
    fn name_garbage(&self, writing: &mut Writing) {
        if writing.doomed.is_empty() {
            return;
        }
        let mut lookup = self.lookup_mut();
        for record in std::mem::take(&mut writing.doomed) {
            if lookup.fresh.front().is_some_and(|first| first.at <= record.at) {
                writing.doomed_fresh.push(record);
            } else {
                lookup.directory.doom(record);
            }
        }
        writing.pass = Pass::over(&lookup.directory);
    }

    /// How many bytes of records are in the table, about: those in full blocks, garbage among them.
    pub(crate) fn bytes(&self) -> u64 {
        self.lookup().directory.bytes()
    }

    /// How much was doomed since the last save.
    pub(crate) fn doomed(&self) -> usize {
        self.lock_writing().doomed.len()
    }

    pub(super) fn lock_writing(&self) -> MutexGuard<'_, Writing> {
        // A writer that panicked has ended the node.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lookup(&self) -> RwLockReadGuard<'_, Lookup> {
        self.lookup.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lookup_mut(&self) -> RwLockWriteGuard<'_, Lookup> {
        self.lookup.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    /// Whether something was doomed that no written meta record has named.
    pub(super) fn has_unnamed_garbage(&self) -> bool {
        !self.doomed.is_empty()
    }
}

impl Lookup {
    fn fresh_at(&self, at: Ordinal) -> Option<&Stored> {
        let place = self.fresh.binary_search_by_key(&at, |record| record.at).ok()?;
        self.fresh.get(place)
    }

    /// Some of the fresh records behind a place.
    fn fresh_after(&self, at: Ordinal, bytes: usize) -> Vec<Stored> {
        let first = self.fresh.partition_point(|record| record.at <= at);
        let mut size = 0;
        let some = self.fresh.range(first..).take_while(|record| {
            let room = size < bytes;
            size += record.size();
            room
        });
        some.cloned().collect()
    }

    /// The first of the fresh records, if they make a full block: the next one would not fit.
    fn full_block(&self, committed: usize) -> Vec<Stored> {
        let (mut count, mut size) = (0, 0);
        for record in self.fresh.range(..committed) {
            if count > 0 && size + record.size() > BLOCK_BYTES {
                return self.fresh.range(..count).cloned().collect();
            }
            count += 1;
            size += record.size();
        }
        // What is alone too large for a block is one.
        if size > BLOCK_BYTES { self.fresh.range(..count).cloned().collect() } else { Vec::new() }
    }
}
