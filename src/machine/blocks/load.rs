//! Reads all blocks of a table at a start, and removes what its meta record does not vouch for.

use crate::kv::TableError;
use crate::machine::blocks::block::{self, ALL_KEYS, block_key};
use crate::machine::blocks::directory::{Directory, Info};
use crate::machine::blocks::store::Store;
use crate::machine::meta::Meta;
use crate::machine::state_table::Garbage;
use crate::machine::stored::{Ordinal, Stored};
use crate::machine::table::Table;
use std::ops::Bound;
use std::sync::Arc;

/// The blocks of a table. Their garbage is named by whoever knows it.
pub(crate) struct Loaded {
    table: Arc<dyn Table>,
    meta: Meta,
    directory: Directory,
}

/// Shows every record that the meta record vouches for, oldest first.
pub(crate) fn load(
    table: Arc<dyn Table>,
    meta: Meta,
    visit: &mut dyn FnMut(&Stored) -> Result<(), TableError>,
) -> Result<Loaded, TableError> {
    let mut directory = Directory::default();
    let mut last = Ordinal::START;
    // What is above the meta record, or there twice, goes: key, and what stays of the block.
    let mut wrong: Vec<(Ordinal, Vec<Stored>)> = Vec::new();
    let (start, end) = ALL_KEYS;
    for found in table.scan(Bound::Included(&start), Bound::Excluded(&end)) {
        let (key, bytes) = found?;
        let first = block::first_place(&key)?;
        if first > meta.last {
            wrong.push((first, Vec::new()));
            continue;
        }
        let mut records = block::decode(first, &bytes)?;
        let count = records.len();
        records.retain(|record| {
            let stays = last < record.at && record.at <= meta.last;
            last = last.max(record.at.min(meta.last));
            stays
        });
        records.iter().try_for_each(&mut *visit)?;
        if !records.is_empty() {
            directory.set(first, Info::of(&records));
        }
        if records.len() < count || count == 0 {
            wrong.push((first, records));
        }
    }
    for (first, records) in wrong {
        match records.is_empty() {
            true => table.remove(&block_key(first))?,
            false => table.set(&block_key(first), &block::encode(first, &records))?,
        }
    }
    Ok(Loaded { table, meta, directory })
}

impl Loaded {
    /// The store, once it is known which of the records are garbage.
    pub(crate) fn into_store(mut self, cache_bytes: u64, garbage: Vec<Garbage>) -> Store {
        for record in garbage {
            self.directory.doom(record);
        }
        Store::new(self.table, cache_bytes, self.meta, self.directory)
    }
}

/// The meta record. It is the first that is ever written, so that it can be missing only together with everything
/// else: an empty table gets that of the empty state.
pub(crate) fn load_meta(table: &dyn Table) -> Result<Meta, TableError> {
    if let Some(bytes) = table.get(&Meta::TABLE_KEY)? {
        return Meta::decode(&bytes);
    }
    if let Some(found) = table.scan(Bound::Unbounded, Bound::Unbounded).next() {
        found?;
        return Err(TableError("the state is damaged: there are records, but no meta record".into()));
    }
    let meta = Meta::default();
    table.set(&Meta::TABLE_KEY, &meta.encode())?;
    Ok(meta)
}
