//! The state machine: the one writer of the state.

use crate::kv::codec::DecodeError;
use crate::kv::draft::Draft;
use crate::kv::{CommandLimits, ReadError, TableError};
use crate::machine::blocks::{self, Store};
use crate::machine::command::{Command, CommandResult, Raise, Reply};
use crate::machine::compatibility::{ClusterVersion, MachineError};
use crate::machine::inventory::Inventory;
use crate::machine::meta::Meta;
use crate::machine::saver::Saver;
use crate::machine::state_table::Garbage;
use crate::machine::stored::Ordinal;
use crate::machine::table::Table;
use crate::machine::tables::{Change, EntryChanges, Tables};
use crate::machine::view::View;
use crate::types::EntryId;
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
    tables: Arc<Tables>,
    store: Arc<Store>,
    /// What became garbage since the last commit.
    doomed: Vec<Garbage>,
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
        let mut tables = Tables::with_capacity(meta.inventory.records);
        let loaded = blocks::load(table, meta.clone(), &mut |record| tables.load(record))?;
        let (inventory, garbage) = tables.loaded(&meta);
        check_inventory(meta.inventory, inventory)?;
        let store = Arc::new(loaded.into_store(cache_bytes, garbage));
        let tables = Arc::new(tables);
        let view = View::new(&meta, &tables, &store);
        Ok(Self { meta, tables, store, doomed: Vec::new(), view, work: Arc::default() })
    }

    /// The last applied entry, whether saved or not.
    pub fn applied(&self) -> EntryId {
        self.meta.applied
    }

    /// The members as the replica encoded them; empty if it never did.
    pub fn members(&self) -> Bytes {
        self.tables.members.get(&[], self.meta.last).unwrap_or_default()
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
        self.meta.limits = limits;
        let change = self.tables.members.set(self.next_place(), &[], Some(&members));
        self.write(change, &mut Xxh3::new());
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
        let mut entry = EntryChanges::new(&self.store);
        let result = match &command {
            Command::Raise(raise) => raise_version(&mut self.meta, id, raise)?,
            _ => {
                let Meta { revisions, limits, .. } = &mut self.meta;
                let mut draft =
                    Draft::new(&self.tables.versions.index, revisions, &mut entry, limits, &self.work);
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
        let (count, mut hasher) = (entry.count, Xxh3::new());
        self.take_in(count, &mut hasher);
        let changed = before != (self.meta.revisions, self.meta.version);
        self.finish(id, changed.then_some(&hasher));
        Ok(Reply { revision: self.meta.revisions.current, result })
    }

    /// Applies the next entry, which holds nothing. Panics as [`apply`](Self::apply) does.
    pub fn apply_noop(&mut self, id: EntryId) {
        self.check_follows(id);
        self.finish(id, None);
    }

    /// Applies the next entry, which holds the cluster's members. Panics as [`apply`](Self::apply) does.
    pub fn apply_members(&mut self, id: EntryId, members: Bytes) {
        self.check_follows(id);
        let mut hasher = Xxh3::new();
        let change = self.tables.members.set(self.next_place(), &[], Some(&members));
        self.write(change, &mut hasher);
        self.finish(id, Some(&hasher));
    }

    /// Returns the view that shows everything applied. Writes full blocks to the table; the rest is left to a
    /// [`Saver`].
    pub fn commit(&mut self) -> Result<View, TableError> {
        self.store.commit(&self.meta, std::mem::take(&mut self.doomed))?;
        // Only now, when everything the meta record covers is in the tables and can be read.
        self.view = View::new(&self.meta, &self.tables, &self.store);
        Ok(self.view())
    }

    /// Does a step of garbage collection up to the last commit: removes what became unreachable from memory, or
    /// from the table. The next commit includes it. Returns whether there may be more to do.
    ///
    /// What a running read needs stays. So it may do nothing although there is more to do: call it now and
    /// then, not in a tight loop.
    pub fn collect_garbage(&mut self, budget: Budget) -> Result<bool, TableError> {
        let shown = &self.view.meta;
        let collected = self.store.doomed() < DOOMED_MAX
            && self.tables.collect(&mut self.meta, shown, budget.keys, &mut self.doomed);
        if collected || !self.doomed.is_empty() {
            return Ok(true); // Until the next commit the store does not know about it.
        }
        let tables = &self.tables;
        let more = self.store.clean(budget.blocks, &|record| tables.table(record.table).fate(record))?;
        Ok(more || self.tables.are_behind(&self.meta, shown))
    }

    fn check_follows(&self, id: EntryId) {
        let last = self.meta.applied;
        assert_eq!(id.index, last.index.next(), "entries are applied without gaps: {id} after {last}");
        assert!(id.term >= last.term, "terms never fall: {id} after {last}");
    }

    /// Where a record goes that leaves the revision as it is.
    fn next_place(&self) -> Ordinal {
        self.meta.last.next_at(self.meta.revisions.current)
    }

    /// Adds a record that leaves the revision as it is.
    fn write(&mut self, change: Change, hasher: &mut Xxh3) {
        let table = change.record.table;
        self.store.push(change.record);
        self.take_in(1, hasher);
        change.dead.into_iter().for_each(|at| self.meta.inventory.remove(table, at));
    }

    /// Counts and hashes the last records.
    fn take_in(&mut self, records: usize, hasher: &mut Xxh3) {
        let meta = &mut self.meta;
        self.store.show_last(records, &mut |record| {
            record.hash(hasher);
            meta.inventory.add(record.table, record.at);
            meta.last = record.at;
        });
    }

    /// The entry is applied; the hash of its changes, if there are any.
    fn finish(&mut self, id: EntryId, changes: Option<&Xxh3>) {
        self.meta.applied = id;
        if let Some(changes) = changes {
            self.meta.fold(changes.digest128());
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
#[path = "keyed_tests.rs"]
mod keyed_tests;

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
