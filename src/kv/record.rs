//! The records of the table: what a version of a key is on disk.
//!
//! ```text
//! key    = 0x02 revision(8, big-endian) sub(4, big-endian)
//! value  = format(1) lease(0) create_revision version key value_bytes value crc32c(4)
//! ```
//!
//! Numbers are LEB128. Version 0 makes a tombstone. The checksum covers the
//! table's key as well, so that a record in the wrong place is damage too.

use crate::kv::codec::{DecodeError, Reader, Writer, varint_len};
use crate::kv::table::TableError;
use crate::kv::version::{Position, Version};
use crate::types::Revision;
use bytes::Bytes;
use std::fmt;

/// The first byte of a table key says which kind of record it is. The next
/// kinds (leases, sessions, …) get the next bytes.
pub(crate) const META_PREFIX: u8 = 1;
/// See [`META_PREFIX`].
pub(crate) const REVISIONS_PREFIX: u8 = 2;

const FORMAT: u8 = 1;
const CRC_BYTES: usize = 4;
/// No lease: the field is there so that the format need not change for them.
const NO_LEASE: u64 = 0;

impl Position {
    /// The table's key for it. Sorts as the position does.
    pub(crate) fn table_key(&self) -> [u8; 13] {
        let mut key = [REVISIONS_PREFIX; 13];
        key[1..9].copy_from_slice(&self.revision.get().to_be_bytes());
        key[9..].copy_from_slice(&self.sub.to_be_bytes());
        key
    }

    /// Reads the table's key.
    pub(crate) fn from_table_key(key: &[u8]) -> Result<Self, TableError> {
        let fields = key.strip_prefix(&[REVISIONS_PREFIX]).and_then(|rest| rest.split_first_chunk());
        let Some((revision, sub)) = fields else {
            return Err(TableError(format!("{key:02x?} is no key of a revision")));
        };
        let sub = sub.try_into().map_err(|_| TableError(format!("{key:02x?} is no key of a revision")))?;
        Ok(Self { revision: Revision(u64::from_be_bytes(*revision)), sub: u32::from_be_bytes(sub) })
    }
}

/// One version of one key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The key.
    pub(crate) key: Bytes,
    /// The value; empty in a tombstone.
    pub(crate) value: Bytes,
    /// All else.
    pub(crate) version: Version,
}

/// The table's value for a version. Copies key and value: what is stored must
/// not pin the buffer in which the command came.
pub(crate) fn encode(key: &[u8], value: &[u8], version: &Version) -> Bytes {
    let numbers =
        [NO_LEASE, version.create_revision.get(), version.version, key.len() as u64, value.len() as u64];
    let size: usize = numbers.into_iter().map(varint_len).sum();
    let mut out = Writer::with_capacity(1 + size + key.len() + value.len() + CRC_BYTES);
    out.byte(FORMAT);
    out.varint(NO_LEASE);
    out.varint(version.create_revision.get());
    out.varint(version.version);
    out.bytes(key);
    out.bytes(value);
    let crc = checksum(&version.position().table_key(), out.written());
    out.raw(&crc);
    out.finish()
}

/// Reads the table's value for `at`. Key and value are slices of it.
pub(crate) fn decode(at: Position, bytes: &Bytes) -> Result<Record, TableError> {
    let body = checked(&at.table_key(), bytes).ok_or_else(|| damaged(at, "its checksum does not match"))?;
    read(at, &body).map_err(|error| damaged(at, error))
}

/// The body of a record if the checksum behind it is right.
pub(crate) fn checked(table_key: &[u8], bytes: &Bytes) -> Option<Bytes> {
    let body = bytes.slice(..bytes.len().checked_sub(CRC_BYTES)?);
    (checksum(table_key, &body) == bytes[body.len()..]).then_some(body)
}

/// What stands behind the body of a record.
pub(crate) fn checksum(table_key: &[u8], body: &[u8]) -> [u8; CRC_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(table_key), body).to_be_bytes()
}

/// The error for a record that is not as it was written.
pub(crate) fn damaged(at: Position, what: impl fmt::Display) -> TableError {
    TableError(format!("the record of revision {at} is damaged: {what}"))
}

fn read(at: Position, body: &Bytes) -> Result<Record, DecodeError> {
    let mut from = Reader::new(body);
    if from.byte()? != FORMAT {
        return Err(from.refuse("a format that this program does not know"));
    }
    if from.varint()? != NO_LEASE {
        return Err(from.refuse("a lease, which this program does not know"));
    }
    let create_revision = Revision(from.varint()?);
    let version = from.varint()?;
    let (key, value) = (from.bytes()?, from.bytes()?);
    from.end()?;
    let value_bytes = u32::try_from(value.len()).map_err(|_| from.refuse("a value above 4 GiB"))?;
    let version = Version { revision: at.revision, sub: at.sub, value_bytes, create_revision, version };
    Ok(Record { key, value, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { revision: Revision(300), sub: 7 };

    fn put() -> Version {
        Version {
            revision: AT.revision,
            sub: AT.sub,
            value_bytes: 5,
            create_revision: Revision(200),
            version: 3,
        }
    }

    #[test]
    fn a_record_comes_back() {
        for (value, version) in [(&b"world"[..], put()), (b"", Version::tombstone(AT))] {
            let bytes = encode(b"hello", value, &version);
            let record = decode(AT, &bytes).unwrap();
            assert_eq!((&record.key[..], &record.value[..], record.version), (&b"hello"[..], value, version));
        }
        assert_eq!(Position::from_table_key(&AT.table_key()), Ok(AT));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encode(b"hello", b"world", &put());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = decode(AT, &damaged.into()).unwrap_err();
            assert!(error.0.contains("revision 300.7"), "{error}");
        }
        for length in 0..bytes.len() {
            assert!(decode(AT, &bytes.slice(..length)).is_err());
        }
    }

    #[test]
    fn a_record_in_the_wrong_place_is_damage() {
        let bytes = encode(b"hello", b"world", &put());
        assert!(decode(Position { revision: Revision(301), sub: 7 }, &bytes).is_err());
    }
}
