//! The state as another node stores it, for snapshots.

use crate::kv::compaction::Collected;
use crate::kv::work::{Meter, Patient};
use crate::kv::{ReadError, TableError};
use crate::machine::blocks::{self, BLOCK_BYTES, block_key};
use crate::machine::inventory::Inventory;
use crate::machine::live::LiveRecords;
use crate::machine::meta::Meta;
use crate::machine::stored::{Stored, TableId};
use crate::machine::view::View;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// The keys and values of a table with the same state, without garbage: blocks, then the meta record. Written
/// into an empty table, which [`Machine::open`](crate::machine::Machine::open) then opens, they give a machine
/// with the same answers and hashes.
///
/// An error ends it; then everything received before is useless.
pub struct Export {
    meta: Option<Arc<Meta>>,
    records: LiveRecords,
    inventory: Inventory,
    /// The next record, which did not fit into the previous block.
    ahead: Option<Stored>,
}

impl View {
    /// Everything that another node needs to have this state. Not affected by later writes; while it lives,
    /// nothing that it needs is removed.
    ///
    /// Refused only if this is an old view and something that it needs has been removed: then take the newest view.
    pub fn export(&self) -> Result<Export, ReadError> {
        let (tables, meter) = (&TableId::ALL, &mut Meter::of_read(&Patient));
        let records = LiveRecords::new(self, tables, self.meta.last, meter)?;
        Ok(Export {
            meta: Some(Arc::clone(&self.meta)),
            records,
            inventory: Inventory::default(),
            ahead: None,
        })
    }
}

impl Export {
    fn block(&mut self) -> Result<Vec<Stored>, TableError> {
        let (mut block, mut size) = (Vec::new(), 0);
        while let Some(record) = self.ahead.take().map(Ok).or_else(|| self.records.next()).transpose()? {
            if !block.is_empty() && size + record.size() > BLOCK_BYTES {
                self.ahead = Some(record);
                break;
            }
            size += record.size();
            self.inventory.add(record.table, record.at);
            block.push(record);
        }
        Ok(block)
    }

    /// The meta record that vouches for the exported records.
    fn meta(&self, of: &Meta) -> Meta {
        let collected = Collected { through: of.revisions.compacted, running: None };
        Meta { inventory: self.inventory, collected, ..of.clone() }
    }
}

impl Iterator for Export {
    type Item = Result<(Bytes, Bytes), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let meta = self.meta.take()?;
        let block = match self.block() {
            Ok(block) => block,
            Err(error) => return Some(Err(error)),
        };
        let Some(first) = block.first().map(|record| record.at) else {
            let meta = self.meta(&meta).encode();
            return Some(Ok((Bytes::from_static(&Meta::TABLE_KEY), meta)));
        };
        self.meta = Some(meta);
        Some(Ok((Bytes::copy_from_slice(&block_key(first)), blocks::encode(first, &block))))
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("records", &self.records).finish_non_exhaustive()
    }
}
