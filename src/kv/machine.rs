//! The state machine: the one writer of the state.

use crate::kv::compaction::Collector;
use crate::kv::draft::Draft;
use crate::kv::index::{Index, SharedIndex};
use crate::kv::inventory::Inventory;
use crate::kv::meta::Meta;
use crate::kv::model::{Command, Outcome, Refusal, Reply};
use crate::kv::read::REPLY_BYTES;
use crate::kv::read_error::ReadError;
use crate::kv::readers::Readers;
use crate::kv::record::{self, REVISIONS_PREFIX};
use crate::kv::staged::Staged;
use crate::kv::table::{Batch, Table, TableError};
use crate::kv::version::Position;
use crate::kv::view::View;
use crate::types::{EntryId, Revision};
use bytes::Bytes;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// How many removals of garbage go into one batch…
const REMOVALS_PER_BATCH: usize = 128;
/// …unless so many bytes go before: an engine holds a batch back until it is whole.
const REMOVED_BYTES_PER_BATCH: usize = 1 << 20;

/// Applies the log to the state.
///
/// [`apply`](Self::apply) changes the state in memory; [`commit`](Self::commit)
/// hands what was applied to the table and shows it to readers. What lies between
/// is lost in a crash and applied again from the log.
///
/// An error from any of its methods means that the table failed: the
/// machine must not be used any more.
pub struct Machine {
    table: Arc<dyn Table>,
    meta: Meta,
    index: Arc<SharedIndex>,
    readers: Arc<Readers>,
    staged: Staged,
    collector: Collector,
    view: View,
}

impl Machine {
    /// Takes up the state where the table has it, and builds the index by
    /// reading all of it once. An empty table makes the empty store.
    pub fn open(table: Arc<dyn Table>) -> Result<Self, TableError> {
        let (index, inventory) = load_index(&*table)?;
        let meta = load_meta(&*table)?;
        check_bounds(&meta, &*table)?;
        check_inventory(meta.inventory, inventory)?;
        let (index, readers) = (Arc::new(SharedIndex::new(index)), Arc::new(Readers::default()));
        let view = View::new(meta.clone(), Arc::clone(&index), Arc::clone(&table), Arc::clone(&readers));
        let (staged, collector) = (Staged::default(), Collector::default());
        Ok(Self { table, meta, index, readers, staged, collector, view })
    }

    /// The last entry that was applied, be it committed to the table or not.
    pub fn applied(&self) -> EntryId {
        self.meta.applied
    }

    /// The members, as the replica encoded them; empty if it never did.
    pub fn members(&self) -> &Bytes {
        &self.meta.members
    }

    /// The state at the last commit.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Sets the members of a new cluster, before its first entry. Panics after that.
    pub fn found(&mut self, members: Bytes) {
        assert_eq!(self.applied(), EntryId::ZERO, "a cluster is founded once, before its first entry");
        self.meta.members = members;
        self.staged.end_entry(&self.meta);
    }

    /// Applies the next entry, which holds a command.
    ///
    /// A command that cannot be read or done changes nothing but
    /// [`applied`](Self::applied), and is answered by [`Outcome::Refused`].
    /// Panics if `id` does not follow the last one.
    pub fn apply(&mut self, id: EntryId, command: &Bytes) -> Result<Reply, TableError> {
        self.check_follows(id);
        let before = (self.meta.revision, self.meta.compact_revision);
        let outcome = match self.execute(command) {
            Ok(outcome) => outcome,
            Err(ReadError::Refused(refusal)) => Outcome::Refused(refusal),
            Err(ReadError::Table(error)) => return Err(error),
        };
        let changed = before != (self.meta.revision, self.meta.compact_revision);
        self.finish(id, changed);
        Ok(Reply { revision: self.meta.revision, outcome })
    }

    /// Applies the next entry, which holds nothing. Panics as [`apply`](Self::apply) does.
    pub fn apply_noop(&mut self, id: EntryId) {
        self.check_follows(id);
        self.finish(id, false);
    }

    /// Applies the next entry, which holds the cluster's members. Panics as [`apply`](Self::apply) does.
    pub fn apply_members(&mut self, id: EntryId, members: Bytes) {
        self.check_follows(id);
        // A copy, so that it does not pin the buffer in which it came.
        self.meta.members = Bytes::copy_from_slice(&members);
        self.finish(id, true);
    }

    /// Writes all that was applied and all garbage that was found to the table,
    /// in batches that are each true in themselves, and answers the view that shows it.
    pub fn commit(&mut self) -> Result<View, TableError> {
        for batch in self.staged.take_batches() {
            self.table.write(batch)?;
        }
        self.remove_garbage()?;
        // Only now: all that it speaks of is in the index and can be read.
        let (index, table, readers) = (&self.index, &self.table, &self.readers);
        self.view = View::new(self.meta.clone(), Arc::clone(index), Arc::clone(table), Arc::clone(readers));
        Ok(self.view())
    }

    /// Walks on over the keys in search of what the last committed compaction
    /// made unreachable, for at most `budget` keys and versions; the next
    /// commit removes what was found. Answers whether there may be more.
    ///
    /// What a read that is under way needs stays. So it may find nothing although
    /// there is more: call it now and then, not in a tight loop.
    pub fn collect_garbage(&mut self, budget: usize) -> Result<bool, TableError> {
        // Not what is merely applied: the newest view that readers have does not
        // know that compaction yet, and must go on answering.
        let target = self.view.compact_revision();
        let collectable = self.readers.collect(target);
        self.collector.step(&self.index, collectable, budget);
        Ok(self.collector.is_behind(target))
    }

    fn check_follows(&self, id: EntryId) {
        let last = self.meta.applied;
        assert_eq!(id.index, last.index.next(), "entries are applied without gaps: {id} after {last}");
        assert!(id.term >= last.term, "terms never fall: {id} after {last}");
    }

    fn execute(&mut self, command: &Bytes) -> Result<Outcome, ReadError> {
        let command =
            Command::decode(command).map_err(|error| Refusal::Unreadable { reason: error.to_string() })?;
        Draft::new(&self.index, &mut self.meta, &mut self.staged, &*self.table, REPLY_BYTES).execute(&command)
    }

    fn finish(&mut self, id: EntryId, changed: bool) {
        self.meta.applied = id;
        if changed {
            self.meta.fold(self.staged.entry());
        }
        for (at, _) in self.staged.entry() {
            self.meta.inventory.add(*at);
        }
        self.staged.end_entry(&self.meta);
    }

    fn remove_garbage(&mut self) -> Result<(), TableError> {
        if !self.collector.has_garbage() {
            return Ok(());
        }
        let garbage = self.collector.take_garbage();
        let mut batch = Batch::default();
        let mut bytes = 0;
        for at in garbage {
            let key = at.table_key();
            bytes += self.table.weight(&key)?;
            batch.changes.push((Bytes::copy_from_slice(&key), None));
            self.meta.inventory.remove(at);
            if batch.changes.len() >= REMOVALS_PER_BATCH || bytes >= REMOVED_BYTES_PER_BATCH {
                self.remove(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        if !batch.changes.is_empty() {
            self.remove(batch)?;
        }
        Ok(())
    }

    fn remove(&self, mut removals: Batch) -> Result<(), TableError> {
        // All that was staged is written: the table is at this entry.
        removals.changes.push((Bytes::from_static(&Meta::TABLE_KEY), Some(self.meta.encode())));
        self.table.write(removals)
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("meta", &self.meta).finish_non_exhaustive()
    }
}

fn load_meta(table: &dyn Table) -> Result<Meta, TableError> {
    match table.get(&Meta::TABLE_KEY)? {
        Some(bytes) => Meta::decode(&bytes),
        None => Ok(Meta::default()),
    }
}

fn load_index(table: &dyn Table) -> Result<(Index, Inventory), TableError> {
    let (mut index, mut inventory) = (Index::default(), Inventory::default());
    let (start, end) = ([REVISIONS_PREFIX], [REVISIONS_PREFIX + 1]);
    for record in table.scan(Bound::Included(&start), Bound::Excluded(&end)) {
        let (key, value) = record?;
        let record = record::decode(Position::from_table_key(&key)?, &value)?;
        inventory.add(record.version.position());
        index.push(&record.key, record.version);
    }
    Ok((index, inventory))
}

/// Each batch says which records there are after it, so that none can be gone.
fn check_inventory(expected: Inventory, found: Inventory) -> Result<(), TableError> {
    if found == expected {
        return Ok(());
    }
    let (expected, found) = (expected.records, found.records);
    let reason = format!("the meta record speaks of {expected} records, {found} are there, and not the same");
    Err(TableError(format!("the state is damaged: {reason}")))
}

/// A batch is written as a whole, so that no record can be newer than the meta record.
fn check_bounds(meta: &Meta, table: &dyn Table) -> Result<(), TableError> {
    let current = meta.revision;
    let start = Position::first_of(Revision(current.get() + 1)).table_key();
    match table.scan(Bound::Included(&start), Bound::Excluded(&[REVISIONS_PREFIX + 1])).next() {
        None => Ok(()),
        Some(record) => {
            let at = Position::from_table_key(&record?.0)?;
            Err(record::damaged(at, format_args!("the meta record knows only revisions up to {current}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Limits;

    #[test]
    fn the_limit_on_answers_is_the_one_that_is_shown() {
        assert_eq!(Limits::default().reply_bytes, REPLY_BYTES);
    }

    #[test]
    fn machines_and_views_go_where_they_are_needed() {
        fn can_be_sent<T: Send>() {}
        fn can_be_shared<T: Send + Sync>() {}
        can_be_sent::<Machine>();
        can_be_shared::<View>();
        can_be_sent::<crate::kv::Export>();
    }
}
