//! The state machine: the one writer of the state.

use crate::kv::codec::DecodeError;
use crate::kv::draft::{Changes, Draft};
use crate::kv::horizon::Values;
use crate::kv::index::SharedIndex;
use crate::kv::index_builder::{Built, IndexBuilder};
use crate::kv::readers::Readers;
use crate::kv::record::{self, Record};
use crate::kv::version::Position;
use crate::kv::{CommandLimits, ReadError, TableError};
use crate::machine::blocks::{self, Fate, Store, Stored};
use crate::machine::command::{Command, CommandResult, Raise, Reply};
use crate::machine::compatibility::{ClusterVersion, MachineError};
use crate::machine::inventory::Inventory;
use crate::machine::meta::Meta;
use crate::machine::saver::Saver;
use crate::machine::table::Table;
use crate::machine::tables::TableId;
use crate::machine::view::View;
use crate::types::{EntryId, Revision};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::Xxh3;

/// What the cache of whole records may take, unless something else is asked for.
pub const RECORD_CACHE_BYTES: u64 = 16 << 20;

/// How many records may be garbage that no written meta record names yet: until then they are kept in a list.
const DOOMED_MAX: usize = 1 << 16;

/// Applies the log to the state.
///
/// [`apply`](Self::apply) changes the state in memory; [`commit`](Self::commit) makes it visible to readers. A
/// [`Saver`] writes it to the table now and then. What is not saved is lost in a crash and applied again from the log.
///
/// An error from any of its methods means that the table failed, or that an entry cannot be applied: the
/// machine must not be used any more.
pub struct Machine {
    meta: Meta,
    index: Arc<SharedIndex>,
    readers: Arc<Readers>,
    store: Arc<Store>,
    /// What became garbage since the last commit.
    doomed: Vec<(Position, bool)>,
    view: View,
    /// All work ever done by commands.
    work: Arc<AtomicU64>,
}

/// How much one step of garbage collection may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// So many keys and versions are looked at in the index…
    pub keys: usize,
    /// …or so many blocks are written again.
    pub blocks: usize,
}

impl Machine {
    /// Loads the state from the table, reading all of it once to build the index. An empty table makes an empty store.
    pub fn open(table: Arc<dyn Table>) -> Result<Self, TableError> {
        Self::open_with(table, RECORD_CACHE_BYTES)
    }

    /// The same, with a cache of `cache_bytes` for whole records.
    pub fn open_with(table: Arc<dyn Table>, cache_bytes: u64) -> Result<Self, TableError> {
        let meta = blocks::load_meta(&*table)?;
        let mut versions = IndexBuilder::with_capacity(meta.inventory.records);
        let loaded = blocks::load(table, meta.clone(), &mut |stored| match stored.table {
            TableId::Versions => {
                let (key, version) = record::decode_version(stored.at, &stored.bytes)?;
                versions.push(key, version);
                Ok(())
            }
        })?;
        let mut inventory = Inventory::default();
        let Built { index, garbage } =
            versions.finish(&meta.collected, meta.revisions.current, &mut |version| {
                inventory.add(TableId::Versions, version.position());
            });
        check_inventory(meta.inventory, inventory)?;
        let store = Arc::new(loaded.into_store(cache_bytes, garbage));
        let (index, readers) = (Arc::new(SharedIndex::new(index)), Arc::new(Readers::default()));
        readers.collect(meta.collected.reach());
        let view = View::new(&meta, &index, &store, &readers);
        let work = Arc::default();
        Ok(Self { meta, index, readers, store, doomed: Vec::new(), view, work })
    }

    /// The last applied entry, whether saved or not.
    pub fn applied(&self) -> EntryId {
        self.meta.applied
    }

    /// The members as the replica encoded them; empty if it never did.
    pub fn members(&self) -> &Bytes {
        &self.meta.members
    }

    /// The cluster's version, which decides which entries can be applied.
    pub fn version(&self) -> ClusterVersion {
        self.meta.version
    }

    /// The state at the last commit.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// A handle that writes what is committed to the table, from any thread.
    pub fn saver(&self) -> Saver {
        Saver(Arc::clone(&self.store))
    }

    /// How much work commands have done since it was opened, in the units of their limit. Differs between nodes.
    pub fn work_done(&self) -> u64 {
        self.work.load(Ordering::Relaxed)
    }

    /// Adds it to this sum from now on, which others may watch.
    pub fn count_work_in(&mut self, sum: Arc<AtomicU64>) {
        self.work = sum;
    }

    /// Sets the members of a new cluster and its limits on commands, before its first entry. Panics after that.
    pub fn found(&mut self, members: Bytes, limits: CommandLimits) {
        assert_eq!(self.applied(), EntryId::ZERO, "a cluster is founded once, before its first entry");
        self.meta.members = members;
        self.meta.limits = limits;
    }

    /// Applies the next entry, which holds a command.
    ///
    /// A command that cannot be done changes nothing but [`applied`](Self::applied), and is answered with
    /// [`CommandResult::Refused`]. One that this program does not know is an error, not a refusal: other nodes
    /// may know it. Panics if `id` does not follow the last one.
    pub fn apply(&mut self, id: EntryId, command: &Bytes) -> Result<Reply, MachineError> {
        self.check_follows(id);
        let command = Command::decode(command).map_err(|error| unknown_command(id, command, &error))?;
        let before = (self.meta.revisions, self.meta.version);
        let mut entry = EntryChanges { store: &self.store, count: 0, bytes: 0 };
        let result = match &command {
            Command::Raise(raise) => raise_version(&mut self.meta, id, raise)?,
            _ => {
                let Meta { revisions, limits, .. } = &mut self.meta;
                let mut draft = Draft::new(&self.index, revisions, &mut entry, limits, &self.work);
                match perform(&mut draft, &command) {
                    Ok(result) => {
                        draft.finish();
                        result
                    }
                    Err(ReadError::Refused(refusal)) => {
                        entry.take_back();
                        CommandResult::Refused(refusal)
                    }
                    Err(ReadError::Table(error)) => return Err(error.into()),
                    Err(ReadError::Abandoned) => unreachable!("a command has no caller that could be gone"),
                }
            }
        };
        let (count, changed) = (entry.count, before != (self.meta.revisions, self.meta.version));
        self.finish(id, count, changed);
        Ok(Reply { revision: self.meta.revisions.current, result })
    }

    /// Applies the next entry, which holds nothing. Panics as [`apply`](Self::apply) does.
    pub fn apply_noop(&mut self, id: EntryId) {
        self.check_follows(id);
        self.finish(id, 0, false);
    }

    /// Applies the next entry, which holds the cluster's members. Panics as [`apply`](Self::apply) does.
    pub fn apply_members(&mut self, id: EntryId, members: Bytes) {
        self.check_follows(id);
        // A copy, so that it does not pin the buffer in which it came.
        self.meta.members = Bytes::copy_from_slice(&members);
        self.finish(id, 0, true);
    }

    /// Returns the view that shows everything applied. Writes full blocks to the table; the rest is left to a
    /// [`Saver`].
    pub fn commit(&mut self) -> Result<View, TableError> {
        self.store.commit(&self.meta, std::mem::take(&mut self.doomed))?;
        // Only now, when everything the meta record covers is in the index and can be read.
        self.view = View::new(&self.meta, &self.index, &self.store, &self.readers);
        Ok(self.view())
    }

    /// Does a step of garbage collection up to the last committed compaction: removes what became unreachable
    /// from the index, or from the table. The next commit includes it. Returns whether there may be more to
    /// do.
    ///
    /// What a running read needs stays. So it may do nothing although there is more to do: call it now and
    /// then, not in a tight loop.
    pub fn collect_garbage(&mut self, budget: Budget) -> Result<bool, TableError> {
        // Not a compaction that is merely applied: the newest view that readers have does not include it, and
        // must go on answering.
        let target = self.view.compact_revision();
        let collectable = self.readers.collect(target);
        if self.meta.collected.is_behind(collectable) && self.store.doomed() < DOOMED_MAX {
            self.forget(collectable, budget.keys);
            return Ok(true);
        }
        if !self.doomed.is_empty() {
            return Ok(true); // Until the next commit the store does not know about it.
        }
        let index = &self.index;
        let more = self.store.clean(budget.blocks, &|stored| fate(index, stored))?;
        Ok(more || self.meta.collected.is_behind(target))
    }

    fn forget(&mut self, target: Revision, keys: usize) {
        let garbage = self.meta.collected.step(&self.index, target, keys);
        for (at, _) in &garbage {
            self.meta.inventory.remove(TableId::Versions, *at);
        }
        self.doomed.extend(garbage);
    }

    fn check_follows(&self, id: EntryId) {
        let last = self.meta.applied;
        assert_eq!(id.index, last.index.next(), "entries are applied without gaps: {id} after {last}");
        assert!(id.term >= last.term, "terms never fall: {id} after {last}");
    }

    /// The entry has added this many records.
    fn finish(&mut self, id: EntryId, records: usize, changed: bool) {
        let (meta, mut hasher) = (&mut self.meta, Xxh3::new());
        meta.applied = id;
        self.store.show_last(records, &mut |stored| {
            hash_record(&mut hasher, stored);
            meta.inventory.add(stored.table, stored.at);
            meta.last = stored.at;
        });
        if changed {
            meta.fold(hasher.digest128());
        }
    }
}

fn perform(draft: &mut Draft<'_, EntryChanges<'_>>, command: &Command) -> Result<CommandResult, ReadError> {
    Ok(match command {
        Command::Put(put) => CommandResult::Put(draft.put(put)?),
        Command::Delete(delete) => CommandResult::Delete(draft.delete(delete)?),
        Command::Txn(txn) => CommandResult::Txn(draft.txn(txn)?),
        Command::Compact(compact) => {
            draft.compact(compact)?;
            CommandResult::Compact
        }
        Command::Raise(_) => unreachable!("it does not concern the keys"),
    })
}

fn raise_version(meta: &mut Meta, entry: EntryId, raise: &Raise) -> Result<CommandResult, MachineError> {
    if raise.version > ClusterVersion::SUPPORTED {
        let what = format!("cluster version {}", raise.version);
        return Err(MachineError::Unknown { entry, what });
    }
    meta.version = meta.version.max(raise.version);
    Ok(CommandResult::Raised)
}

fn unknown_command(entry: EntryId, command: &Bytes, error: &DecodeError) -> MachineError {
    let kind = command.first().map_or_else(|| "no kind".to_owned(), |kind| format!("kind {kind}"));
    MachineError::Unknown { entry, what: format!("a command of {kind} that cannot be read ({error})") }
}

/// The records of the entry being applied, and all earlier ones.
struct EntryChanges<'a> {
    store: &'a Store,
    count: usize,
    bytes: usize,
}

impl EntryChanges<'_> {
    fn take_back(&mut self) {
        self.store.take_back(self.count);
        self.count = 0;
    }
}

impl Changes for EntryChanges<'_> {
    fn push(&mut self, at: Position, bytes: Bytes) {
        self.count += 1;
        self.bytes += bytes.len();
        self.store.push(Stored { table: TableId::Versions, at, bytes });
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Values for EntryChanges<'_> {
    fn record(&self, at: Position) -> Result<Record, ReadError> {
        Ok(record::decode(at, &self.store.read(at)?)?)
    }
}

/// What has become of a record in a block.
fn fate(index: &SharedIndex, stored: &Stored) -> Result<Fate, TableError> {
    match stored.table {
        TableId::Versions => {
            let record = record::decode(stored.at, &stored.bytes)?;
            let index = index.read();
            Ok(match index.history(&record.key) {
                Some(history) if history.contains(stored.at) => Fate::Live,
                _ if record.version.is_tombstone() => Fate::Tombstone,
                _ => Fate::Garbage,
            })
        }
    }
}

/// Adds a record to a hash, delimited so that no two lists of records are hashed alike.
pub(crate) fn hash_record(hasher: &mut Xxh3, stored: &Stored) {
    hasher.update(&[stored.table as u8]);
    hasher.update(&stored.at.revision.get().to_be_bytes());
    hasher.update(&stored.at.sub.to_be_bytes());
    hasher.update(&(stored.bytes.len() as u64).to_be_bytes());
    hasher.update(&stored.bytes);
}

/// Checks that all records are there that are live according to the meta record.
fn check_inventory(expected: Inventory, found: Inventory) -> Result<(), TableError> {
    if found == expected {
        return Ok(());
    }
    let (expected, found) = (expected.records, found.records);
    let reason =
        format!("the meta record lists {expected} records, but there are {found}, and not the same ones");
    Err(TableError(format!("the state is damaged: {reason}")))
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("meta", &self.meta).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Limits;

    #[test]
    fn the_limit_on_answers_is_the_one_that_is_shown() {
        assert_eq!(Limits::default().reply_bytes, CommandLimits::FOUNDING.reply_bytes);
    }

    #[test]
    fn machines_and_views_go_where_they_are_needed() {
        fn can_be_sent<T: Send>() {}
        fn can_be_shared<T: Send + Sync>() {}
        can_be_sent::<Machine>();
        can_be_shared::<View>();
        can_be_shared::<Saver>();
        can_be_sent::<crate::machine::Export>();
    }
}
