//! The one record beside the revisions: up to where the state has come.

use crate::kv::codec::{DecodeError, Reader, Writer};
use crate::kv::inventory::Inventory;
use crate::kv::record::{self, META_PREFIX};
use crate::kv::table::TableError;
use crate::kv::version::Position;
use crate::types::{EntryId, Index, Revision, Term};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

const FORMAT: u8 = 2;

/// What is written in the same batch as the changes it speaks of, so that it
/// is always true of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The last entry that the table includes.
    pub(crate) applied: EntryId,
    /// The store's revision.
    pub(crate) revision: Revision,
    /// Reads below it are refused.
    pub(crate) compact_revision: Revision,
    /// The hash over everything ever applied.
    pub(crate) hash: u128,
    /// Which records this table holds: garbage included, and hence not the same on all nodes.
    pub(crate) inventory: Inventory,
    /// The members, as the replica encoded them.
    pub(crate) members: Bytes,
}

impl Default for Meta {
    /// Of the empty store.
    fn default() -> Self {
        Self {
            applied: EntryId::ZERO,
            revision: Revision(1),
            compact_revision: Revision(0),
            hash: 0,
            inventory: Inventory::default(),
            members: Bytes::new(),
        }
    }
}

impl Meta {
    /// The table's key.
    pub(crate) const TABLE_KEY: [u8; 1] = [META_PREFIX];

    /// The table's value.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(80 + self.members.len());
        out.byte(FORMAT);
        for number in [
            self.applied.term.get(),
            self.applied.index.get(),
            self.revision.get(),
            self.compact_revision.get(),
        ] {
            out.raw(&number.to_be_bytes());
        }
        out.raw(&self.hash.to_be_bytes());
        out.raw(&self.inventory.records.to_be_bytes());
        out.raw(&self.inventory.sum.to_be_bytes());
        out.raw(&self.members);
        let crc = record::checksum(&Self::TABLE_KEY, out.written());
        out.raw(&crc);
        out.finish()
    }

    /// Reads the table's value.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, TableError> {
        let body = record::checked(&Self::TABLE_KEY, bytes)
            .ok_or_else(|| TableError("the meta record is damaged: its checksum does not match".into()))?;
        Self::read(&body).map_err(|error| TableError(format!("the meta record is damaged: {error}")))
    }

    fn read(body: &Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader::new(body);
        if from.byte()? != FORMAT {
            return Err(from.refuse("a format that this program does not know"));
        }
        Ok(Self {
            applied: EntryId { term: Term(from.u64()?), index: Index(from.u64()?) },
            revision: Revision(from.u64()?),
            compact_revision: Revision(from.u64()?),
            hash: from.u128()?,
            inventory: Inventory { records: from.u64()?, sum: from.u64()? },
            // A copy, so that it does not pin what the engine read.
            members: Bytes::copy_from_slice(&from.rest()),
        })
    }

    /// Takes one entry's changes into the hash. What is local to a node (which
    /// garbage it has removed, how it grouped its batches) is not part of it.
    pub(crate) fn fold(&mut self, changes: &[(Position, Bytes)]) {
        let mut hasher = Xxh3::new();
        hasher.update(&self.hash.to_be_bytes());
        for (position, record) in changes {
            hash_record(&mut hasher, &position.table_key(), record);
        }
        hasher.update(&self.revision.get().to_be_bytes());
        hasher.update(&self.compact_revision.get().to_be_bytes());
        hasher.update(&self.members);
        self.hash = hasher.digest128();
    }
}

/// Takes one record into a hash, delimited so that no two lists of records are alike.
pub(crate) fn hash_record(hasher: &mut Xxh3, table_key: &[u8], record: &[u8]) {
    hasher.update(table_key);
    hasher.update(&(record.len() as u64).to_be_bytes());
    hasher.update(record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_damage_is_noticed() {
        let meta = Meta {
            applied: EntryId::new(3, 9),
            revision: Revision(7),
            compact_revision: Revision(5),
            hash: u128::MAX / 3,
            inventory: Inventory { records: 3, sum: u64::MAX / 5 },
            members: Bytes::from_static(b"n1 n2"),
        };
        let bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes), Ok(meta));
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x10;
            assert!(Meta::decode(&damaged.into()).is_err());
            assert!(Meta::decode(&bytes.slice(..at)).is_err());
        }
    }
}
