//! A version of a key on disk.
//!
//! ```text
//! record = lease(0) create_revision version key_bytes key value_bytes value
//! ```
//!
//! Numbers are LEB128. Version 0 makes a tombstone. Its place among all changes ([`Position`]) and a checksum
//! are added by the storage of records.

use crate::kv::codec::{DecodeError, Reader, Writer, varint_len};
use crate::kv::table_error::TableError;
use crate::kv::version::{Position, Version};
use crate::types::Revision;
use bytes::Bytes;
use std::fmt;

/// No lease: the field exists so that leases will not change the format.
const NO_LEASE: u64 = 0;

/// One version of one key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Bytes,
    /// The value; empty in a tombstone.
    pub(crate) value: Bytes,
    pub(crate) version: Version,
}

/// Encodes a version. Copies key and value: what is stored must not pin the buffer that the command arrived in.
pub(crate) fn encode(key: &[u8], value: &[u8], version: &Version) -> Bytes {
    let numbers =
        [NO_LEASE, version.create_revision.get(), version.version, key.len() as u64, value.len() as u64];
    let size: usize = numbers.into_iter().map(varint_len).sum();
    let mut out = Writer::with_capacity(size + key.len() + value.len());
    out.varint(NO_LEASE);
    out.varint(version.create_revision.get());
    out.varint(version.version);
    out.bytes(key);
    out.bytes(value);
    out.finish()
}

/// Decodes the version at `at`. Key and value are slices of `bytes`.
pub(crate) fn decode(at: Position, bytes: &Bytes) -> Result<Record, TableError> {
    read(at, bytes).map_err(|error| damaged(at, error))
}

/// Decodes the version at `at` without its value: key and version.
pub(crate) fn decode_version(at: Position, bytes: &Bytes) -> Result<(&[u8], Version), TableError> {
    let mut from = Reader::new(bytes);
    let read = read_with(at, &mut from, Reader::borrowed);
    read.map(|(key, _, version)| (key, version)).map_err(|error| damaged(at, error))
}

/// The error for a record that was damaged.
pub(crate) fn damaged(at: Position, what: impl fmt::Display) -> TableError {
    TableError(format!("the record of revision {at} is damaged: {what}"))
}

fn read(at: Position, bytes: &Bytes) -> Result<Record, DecodeError> {
    let (key, value, version) = read_with(at, &mut Reader::new(bytes), Reader::bytes)?;
    Ok(Record { key, value, version })
}

/// Key, value and version; `read_bytes` reads the first two.
fn read_with<'a, B: AsRef<[u8]>>(
    at: Position,
    from: &mut Reader<'a>,
    read_bytes: impl Fn(&mut Reader<'a>) -> Result<B, DecodeError>,
) -> Result<(B, B, Version), DecodeError> {
    if from.varint()? != NO_LEASE {
        return Err(from.refuse("a lease, which this program does not know"));
    }
    let create_revision = Revision(from.varint()?);
    let version = from.varint()?;
    let (key, value) = (read_bytes(from)?, read_bytes(from)?);
    from.end()?;
    let value_bytes = u32::try_from(value.as_ref().len()).map_err(|_| from.refuse("a value above 4 GiB"))?;
    let version = Version { revision: at.revision, sub: at.sub, value_bytes, create_revision, version };
    Ok((key, value, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { revision: Revision(300), sub: 7 };

    #[test]
    fn a_record_comes_back() {
        let create_revision = Revision(200);
        let put = Version { revision: AT.revision, sub: AT.sub, value_bytes: 5, create_revision, version: 3 };
        for (value, version) in [(&b"world"[..], put), (b"", Version::tombstone(AT))] {
            let bytes = encode(b"hello", value, &version);
            let record = decode(AT, &bytes).unwrap();
            assert_eq!((&record.key[..], &record.value[..], record.version), (&b"hello"[..], value, version));
            assert_eq!(decode_version(AT, &bytes), Ok((&b"hello"[..], version)));
            for length in 0..bytes.len() {
                assert!(decode(AT, &bytes.slice(..length)).is_err());
            }
        }
    }
}
