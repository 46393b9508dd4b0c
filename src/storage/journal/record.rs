//! The encoding of a record. Pure functions.

use crate::storage::journal::sector::{SECTOR, Salt};
use bytes::{Buf as _, BufMut as _};

const MAGIC: u32 = 0x4b4a_5231; // "KJR1"

/// The bytes before a record's body.
pub(crate) const HEAD: usize = 48;

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The generation of its segment's use.
    pub generation: u64,
    /// Its number; records are numbered without gaps.
    pub number: u64,
    /// The last record that had been synced when this one was written.
    pub synced: u64,
    /// The checksum of the record before it.
    pub chain: u32,
    /// Whether a group begins with it.
    pub begins: bool,
    /// Whether a group ends with it.
    pub ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub head: Head,
    /// Its checksum, which the next record repeats.
    pub checksum: u32,
    pub body: &'a [u8],
}

impl Record<'_> {
    /// The bytes it occupies, up to the end of its last sector.
    pub(crate) fn size(&self) -> usize {
        size(self.body.len())
    }
}

/// The bytes that a record with a body of this many bytes occupies.
pub(crate) fn size(body: usize) -> usize {
    (HEAD + body).next_multiple_of(SECTOR)
}

/// The largest body that fits into this many bytes, if any does.
pub(crate) fn room(bytes: usize) -> Option<usize> {
    (bytes / SECTOR * SECTOR).checked_sub(HEAD).filter(|room| *room > 0)
}

/// Appends a record, up to the end of its last sector, and returns its checksum.
pub(crate) fn encode(salt: Salt, head: Head, body: &[u8], out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    out.put_u32(MAGIC);
    out.put_u32(0);
    out.put_u64(head.generation);
    out.put_u64(head.number);
    out.put_u64(head.synced);
    out.put_u32(head.chain);
    out.put_u32(u32::try_from(body.len()).expect("a record is smaller than a segment"));
    out.put_u8(u8::from(head.begins) | u8::from(head.ends) << 1);
    out.resize(start + HEAD, 0);
    out.put_slice(body);
    out.resize(start + size(body.len()), 0);
    let sum = checksum(salt, &out[start..]);
    out[start + 4..start + 8].copy_from_slice(&sum.to_be_bytes());
    sum
}

/// The record at the beginning of these bytes, if there is a valid one.
pub(crate) fn decode(salt: Salt, bytes: &[u8]) -> Option<Record<'_>> {
    let mut rest = bytes.get(..HEAD)?;
    if rest.get_u32() != MAGIC {
        return None;
    }
    let sum = rest.get_u32();
    let (generation, number, synced) = (rest.get_u64(), rest.get_u64(), rest.get_u64());
    let (chain, length, flags) = (rest.get_u32(), rest.get_u32() as usize, rest.get_u8());
    let whole = bytes.get(..HEAD.checked_add(length)?.checked_next_multiple_of(SECTOR)?)?;
    if sum != checksum(salt, whole) {
        return None;
    }
    let head = Head { generation, number, synced, chain, begins: flags & 1 != 0, ends: flags & 2 != 0 };
    Some(Record { head, checksum: sum, body: &whole[HEAD..HEAD + length] })
}

/// Over all of its sectors except the checksum itself.
fn checksum(salt: Salt, record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt.0, &record[..4]), &record[8..])
}
