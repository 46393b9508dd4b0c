//! Reading the store back, and distinguishing what a crash leaves from damage.

use crate::raft::{Entry, HardState};
use crate::storage::codec::Malformed;
use crate::storage::error::StorageError;
use crate::storage::journal::Floor;
use crate::storage::log::record::{self, Base, Run, StoredMark};
use crate::storage::log::record_store::RecordStore;
use crate::types::{DirectoryId, EntryId, Index};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The place of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The entry before the run.
    pub previous: EntryId,
    pub last: EntryId,
    pub parts: u16,
}

/// What [`load`] found in the store.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub hard_state: HardState,
    pub base: Base,
    pub mark: StoredMark,
    /// The runs of the log by their first index.
    pub runs: BTreeMap<Index, Extent>,
    /// The end of the log.
    pub tail: Tail,
    /// Keys that a crash left over, in the order in which to remove them.
    pub leftovers: Vec<[u8; 11]>,
    /// Whether nothing of it is in the log any more.
    pub is_superseded: bool,
}

/// The end of a log, without gaps.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The entry before the first one.
    pub base: EntryId,
    pub entries: Vec<Entry>,
    /// The size of the entries.
    bytes: usize,
    /// About so many bytes of entries stay; what comes before can be read when it is needed.
    bytes_max: usize,
}

impl Tail {
    fn extend(&mut self, entries: impl Iterator<Item = Entry>) {
        for entry in entries {
            self.bytes += entry.size();
            self.entries.push(entry);
        }
        // Many at a time, since what stays has to move.
        if self.bytes > self.bytes_max.saturating_mul(2) {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let (mut left, mut count) = (self.bytes, 0);
        for entry in &self.entries {
            left -= entry.size();
            if left < self.bytes_max {
                break;
            }
            (count, self.bytes) = (count + 1, left);
        }
        if let Some(last) = self.entries.drain(..count).next_back() {
            self.base = last.id;
        }
    }
}

impl Loaded {
    /// What the journal says was compacted goes further than what this store holds. So nothing in it counts, not even
    /// runs above that, which a power cut may have brought back.
    pub(crate) fn supersede(&mut self, floor: &Floor) {
        if floor.number <= self.mark.number {
            return;
        }
        for (first, extent) in std::mem::take(&mut self.runs) {
            self.leftovers.extend((0..extent.parts).map(|part| record::run_key(first, part)));
        }
        self.order_leftovers();
        let base = if self.base.id.index > floor.base.index { self.base.id } else { floor.base };
        self.base = Base { epoch: self.base.epoch + 1, id: base };
        self.hard_state = floor.hard_state;
        self.mark = StoredMark { number: floor.number, last: base };
        self.tail.base = base;
        self.tail.entries.clear();
        self.is_superseded = true;
    }

    /// A run goes from its last part to its first, the last run first.
    fn order_leftovers(&mut self) {
        self.leftovers.sort_unstable();
        self.leftovers.reverse();
    }

    pub(crate) fn last(&self) -> EntryId {
        self.runs.last_key_value().map_or(self.base.id, |(_, extent)| extent.last)
    }
}

/// One part of a run, with the number of parts that the run claims to have.
struct Part {
    number: u16,
    total: u16,
    bytes: Bytes,
}

/// Reads the whole log, or names what is damaged, and keeps about `tail_bytes` of its entries. Changes nothing.
pub(crate) fn load(
    records: &dyn RecordStore,
    directory: DirectoryId,
    tail_bytes: usize,
) -> Result<Loaded, StorageError> {
    let loader = Loader { records, directory };
    let base = loader.single("the base record", record::BASE_KEY, record::decode_base)?;
    let mut loaded = Loaded {
        base,
        hard_state: loader.single(
            "the record of term and vote",
            record::HARD_STATE_KEY,
            record::decode_hard_state,
        )?,
        mark: loader.single("the mark of the journal", record::MARK_KEY, record::decode_mark)?,
        runs: BTreeMap::new(),
        tail: Tail { base: base.id, entries: Vec::new(), bytes: 0, bytes_max: tail_bytes },
        leftovers: Vec::new(),
        is_superseded: false,
    };
    let mut pending: Option<(Index, Vec<Part>)> = None;
    records.scan(record::RUN_PREFIX, &mut |key, value| {
        let (first, number) = record::parse_run_key(key).ok_or_else(|| {
            loader.damaged(format!("the record with key {key:02x?}"), "no run has such a key")
        })?;
        let part = loader.part(first, number, value)?;
        match &mut pending {
            Some((at, parts)) if *at == first => parts.push(part),
            _ => {
                if let Some((first, parts)) = pending.replace((first, vec![part])) {
                    loader.take_run(&mut loaded, first, parts, false)?;
                }
            }
        }
        Ok(())
    })?;
    if let Some((first, parts)) = pending {
        loader.take_run(&mut loaded, first, parts, true)?;
    }
    loaded.tail.trim();
    loaded.order_leftovers();
    Ok(loaded)
}

/// Cuts a run's record into parts that fit into one sled record.
pub(crate) fn split(record: &[u8], part_bytes: usize) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let total = u16::try_from(record.len().div_ceil(part_bytes)).expect("an entry is far below 256 MiB");
    (0..).zip(record.chunks(part_bytes)).map(move |(number, bytes)| {
        let mut part = Vec::with_capacity(2 + bytes.len());
        part.extend_from_slice(&total.to_be_bytes());
        part.extend_from_slice(bytes);
        (number, part)
    })
}

/// Reads a run of which [`Extent`] knows the number of parts, which must all be there.
pub(crate) fn read_run(
    records: &dyn RecordStore,
    directory: DirectoryId,
    first: Index,
    parts: u16,
) -> Result<Run, StorageError> {
    let loader = Loader { records, directory };
    let mut found = Vec::new();
    for number in 0..parts {
        let value = records.get(&record::run_key(first, number))?;
        let value = value.ok_or_else(|| loader.damaged(run_name(first), format!("part {number} is gone")))?;
        found.push(loader.part(first, number, &value)?);
    }
    record::decode_run(directory, first, join(found))
        .map_err(|Malformed(reason)| loader.damaged(run_name(first), reason))
}

struct Loader<'a> {
    records: &'a dyn RecordStore,
    directory: DirectoryId,
}

impl Loader<'_> {
    fn single<T>(
        &self,
        name: &str,
        key: &[u8],
        decode: impl FnOnce(DirectoryId, &[u8]) -> Result<T, Malformed>,
    ) -> Result<T, StorageError> {
        let value = self.records.get(key)?;
        let value = value.ok_or_else(|| self.damaged(name, "it is not there"))?;
        decode(self.directory, &value).map_err(|Malformed(reason)| self.damaged(name, reason))
    }

    fn part(&self, first: Index, number: u16, value: &[u8]) -> Result<Part, StorageError> {
        let Some((total, bytes)) = value.split_first_chunk::<2>() else {
            return Err(self.damaged(run_name(first), format!("part {number} is empty")));
        };
        Ok(Part { number, total: u16::from_be_bytes(*total), bytes: Bytes::copy_from_slice(bytes) })
    }

    fn take_run(
        &self,
        loaded: &mut Loaded,
        first: Index,
        parts: Vec<Part>,
        is_last: bool,
    ) -> Result<(), StorageError> {
        let keys: Vec<_> = parts.iter().map(|part| record::run_key(first, part.number)).collect();
        let count = u16::try_from(keys.len()).unwrap_or(u16::MAX);
        if !is_complete(&parts) {
            if first > loaded.base.id.index && !is_last {
                return Err(
                    self.damaged(run_name(first), "parts of it are missing, although later runs are there")
                );
            }
            // The journal shows whether it is missing.
            loaded.leftovers.extend(keys);
            return Ok(());
        }
        let run = record::decode_run(self.directory, first, join(parts))
            .map_err(|Malformed(reason)| self.damaged(run_name(first), reason))?;
        let last = run.entries.last().map_or(run.previous, |entry| entry.id);
        if run.epoch > loaded.base.epoch {
            return Err(self.damaged("the base record", format!("it is older than {}", run_name(first))));
        }
        if run.epoch < loaded.base.epoch || last.index <= loaded.base.id.index {
            loaded.leftovers.extend(keys);
            return Ok(());
        }
        self.check_place(loaded, first, &run)?;
        loaded.runs.insert(first, Extent { previous: run.previous, last, parts: count });
        let base = loaded.base.id.index;
        loaded.tail.extend(run.entries.into_iter().filter(|entry| entry.id.index > base));
        Ok(())
    }

    /// A run must begin where the one before it ends; the first one may begin below the base.
    fn check_place(&self, loaded: &Loaded, first: Index, run: &Run) -> Result<(), StorageError> {
        let end = loaded.last();
        let expected = end.index.next();
        if first > expected {
            let reason = format!("the entries {expected} to {} are missing", first.previous());
            return Err(self.damaged(run_name(first), reason));
        }
        if first < expected && !loaded.runs.is_empty() {
            let reason = format!("it overlaps with the run before it, which ends at {end}");
            return Err(self.damaged(run_name(first), reason));
        }
        let before = joint(run, end.index);
        if before != Some(end) {
            let found = before.map_or("nothing".to_owned(), |id| id.to_string());
            return Err(self.damaged(
                run_name(first),
                format!("it follows {found}, but the log before it ends at {end}"),
            ));
        }
        self.check_terms(run)
    }

    fn check_terms(&self, run: &Run) -> Result<(), StorageError> {
        let mut before = run.previous;
        for Entry { id, .. } in &run.entries {
            if id.term < before.term {
                let reason =
                    format!("the term falls from {} to {} at index {}", before.term, id.term, id.index);
                return Err(self.damaged(run_name(run.previous.index.next()), reason));
            }
            before = *id;
        }
        Ok(())
    }

    fn damaged(&self, record: impl Into<String>, reason: impl Into<String>) -> StorageError {
        StorageError::damaged(self.records.path(), record, reason)
    }
}

/// The id that the run gives to `index`: of one of its entries or of the one before it.
fn joint(run: &Run, index: Index) -> Option<EntryId> {
    if run.previous.index == index {
        return Some(run.previous);
    }
    run.entries.iter().map(|entry| entry.id).find(|id| id.index == index)
}

fn is_complete(parts: &[Part]) -> bool {
    let total = parts.first().map_or(0, |part| part.total);
    parts.len() == usize::from(total)
        && (0..).zip(parts).all(|(number, part): (u16, _)| part.number == number && part.total == total)
}

fn join(parts: Vec<Part>) -> Bytes {
    match <[Part; 1]>::try_from(parts) {
        Ok([part]) => part.bytes,
        Err(parts) => parts.iter().map(|part| &part.bytes[..]).collect::<Vec<_>>().concat().into(),
    }
}

fn run_name(first: Index) -> String {
    format!("the run of entries that begins at index {first}")
}
