//! What an exported state holds, counted without building it: for a look into a snapshot.

use crate::kv::TableError;
use crate::kv::record;
use crate::kv::version::Position;
use crate::machine::blocks;
use crate::machine::meta::Meta;
use crate::machine::stored::{Stored, TableId};
use bytes::Bytes;
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_128;

/// Counts as the keys and values of an [`Export`](crate::machine::Export) come by, in their order.
#[derive(Debug, Default)]
pub struct Contents {
    /// The keys that are there, by hash: so it takes little more memory than an index of short keys.
    present: BTreeSet<u128>,
    versions: u64,
}

impl Contents {
    /// Takes the next of the exported keys and values.
    ///
    /// # Errors
    /// If it is none that this program exports.
    pub fn add(&mut self, key: &[u8], value: &Bytes) -> Result<(), TableError> {
        if key == Meta::TABLE_KEY {
            return Ok(());
        }
        blocks::decode(blocks::first_place(key)?, value)?
            .iter()
            .try_for_each(|record| self.add_record(record))
    }

    /// How many keys there are at its newest revision.
    pub fn keys(&self) -> u64 {
        self.present.len() as u64
    }

    /// How many versions of keys it has, tombstones among them.
    pub fn versions(&self) -> u64 {
        self.versions
    }

    fn add_record(&mut self, record: &Stored) -> Result<(), TableError> {
        if record.table != TableId::Versions {
            return Ok(());
        }
        // The place is only for the words of an error.
        let at =
            Position { revision: record.at.revision, sub: u32::try_from(record.at.step).unwrap_or(u32::MAX) };
        let (key, version) = record::decode_version(at, &record.bytes)?;
        self.versions += 1;
        if version.is_tombstone() {
            self.present.remove(&xxh3_128(key));
        } else {
            self.present.insert(xxh3_128(key));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::version::Version;
    use crate::machine::stored::Ordinal;
    use crate::types::Revision;

    #[test]
    fn a_key_counts_once_and_not_after_its_removal() {
        let stored = |revision, key: &[u8], version| {
            let revision = Revision(revision);
            let at = Ordinal { revision, step: 0 };
            let version = Version { revision, sub: 0, value_bytes: 5, create_revision: revision, version };
            Stored { table: TableId::Versions, at, bytes: record::encode(key, b"value", &version) }
        };
        let records = [stored(2, b"a", 1), stored(3, b"b", 1), stored(4, b"a", 2), stored(5, b"b", 0)];
        let mut contents = Contents::default();
        for block in records.chunks(3) {
            let first = block[0].at;
            contents.add(&blocks::block_key(first), &blocks::encode(first, block)).unwrap();
        }
        contents.add(&Meta::TABLE_KEY, &Meta::default().encode()).unwrap();
        assert_eq!((contents.keys(), contents.versions()), (1, 4));
        assert!(contents.add(b"what", &Bytes::new()).is_err());
    }
}
