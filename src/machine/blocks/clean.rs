//! Takes garbage out of blocks, a few at a time.
//!
//! A pass goes over the blocks with garbage, from the oldest on. Usually it takes only those that are half garbage
//! or more, and leaves tombstones, which must outlive all older records of their key. When a quarter of all
//! records is garbage it takes everything: then what is below is clean, and tombstones go too.

use crate::kv::TableError;
use crate::machine::blocks::block::{self, BLOCK_BYTES, block_key};
use crate::machine::blocks::directory::Info;
use crate::machine::blocks::store::Store;
use crate::machine::state_table::Fate;
use crate::machine::stored::{Ordinal, Stored};

/// For each block that is cleaned, this many others may be examined.
const LOOKED_AT: usize = 32;

impl Store {
    /// Cleans up to `blocks` blocks; first it sees to it that all garbage was named by a written meta record.
    /// Answers whether there may be more to clean.
    pub(crate) fn clean(
        &self,
        blocks: usize,
        fate: &dyn Fn(&Stored) -> Result<Fate, TableError>,
    ) -> Result<bool, TableError> {
        let mut writing = self.lock_writing();
        if writing.has_unnamed_garbage() {
            // Or the removal could survive a crash that the naming does not.
            self.save_at(&mut writing)?;
        }
        let (mut cleaned, mut looked_at) = (0, 0);
        while cleaned < blocks && looked_at < LOOKED_AT * blocks {
            looked_at += 1;
            let Some(mut pass) = writing.pass else { return Ok(false) };
            let Some((first, info)) = self.lookup().directory.dirty_from(pass.next) else {
                writing.pass = None;
                return Ok(false);
            };
            pass.next = first.next_at(first.revision);
            writing.pass = Some(pass);
            let with_tombstones = !self.lookup().directory.is_dirty_below(first);
            let garbage = if with_tombstones { info.garbage } else { info.garbage - info.tombstones };
            if garbage > 0 && (pass.everything || 2 * garbage >= info.records) {
                self.clean_block(first, info, with_tombstones, fate)?;
                cleaned += 1;
            }
        }
        Ok(true)
    }

    fn clean_block(
        &self,
        first: Ordinal,
        info: Info,
        with_tombstones: bool,
        fate: &dyn Fn(&Stored) -> Result<Fate, TableError>,
    ) -> Result<(), TableError> {
        if info.garbage == info.records && with_tombstones {
            return self.remove_block(first);
        }
        let (mut kept, mut tombstones) = (Vec::new(), 0);
        for record in self.block(first)? {
            match fate(&record)? {
                Fate::Garbage => continue,
                Fate::Tombstone if with_tombstones => continue,
                Fate::Tombstone => tombstones += 1,
                Fate::Live => {}
            }
            kept.push(record);
        }
        if kept.is_empty() {
            return self.remove_block(first);
        }
        let info = Info { garbage: tombstones, tombstones, ..Info::of(&kept) };
        let below = self.lookup().directory.before(first);
        match below {
            Some((below, other)) if (other.bytes + info.bytes) as usize <= BLOCK_BYTES => {
                self.join(below, other, first, info, kept)
            }
            _ => {
                self.table.set(&block_key(first), &block::encode(first, &kept))?;
                self.lookup_mut().directory.set(first, info);
                Ok(())
            }
        }
    }

    /// Puts the records of a block into the one below.
    fn join(
        &self,
        below: Ordinal,
        other: Info,
        first: Ordinal,
        info: Info,
        kept: Vec<Stored>,
    ) -> Result<(), TableError> {
        let mut records = self.block(below)?;
        records.extend(kept);
        let joined = Info {
            garbage: other.garbage + info.garbage,
            tombstones: other.tombstones + info.tombstones,
            ..Info::of(&records)
        };
        self.table.set(&block_key(below), &block::encode(below, &records))?;
        let mut lookup = self.lookup_mut();
        lookup.directory.remove(first);
        lookup.directory.set(below, joined);
        drop(lookup);
        self.table.remove(&block_key(first))
    }

    fn remove_block(&self, first: Ordinal) -> Result<(), TableError> {
        self.lookup_mut().directory.remove(first);
        self.table.remove(&block_key(first))
    }

    fn block(&self, first: Ordinal) -> Result<Vec<Stored>, TableError> {
        let bytes = self.table.get(&block_key(first))?;
        block::decode(first, &bytes.ok_or_else(|| block::damaged(first, "it is missing"))?)
    }
}
