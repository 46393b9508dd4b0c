//! The bytes of a block.

use crate::kv::TableError;
use crate::kv::codec::{DecodeError, Reader, Writer};
use crate::machine::compatibility::{newer_state, other_format};
use crate::machine::stored::{Ordinal, Stored, TableId};
use crate::types::Revision;
use bytes::Bytes;

/// A block is full when another record would exceed this size. A single record may be larger.
pub(crate) const BLOCK_BYTES: usize = 4000;

/// The first byte of a block's key.
const PREFIX: u8 = 2;
const FORMAT: u8 = 2;
const CRC_BYTES: usize = 4;

/// The table's key of the block that begins at a place.
pub(crate) fn block_key(first: Ordinal) -> [u8; 17] {
    let mut key = [PREFIX; 17];
    key[1..9].copy_from_slice(&first.revision.get().to_be_bytes());
    key[9..].copy_from_slice(&first.step.to_be_bytes());
    key
}

/// The keys of all blocks are between these.
pub(crate) const ALL_KEYS: ([u8; 1], [u8; 1]) = ([PREFIX], [PREFIX + 1]);

/// Reads a block's key.
pub(crate) fn first_place(key: &[u8]) -> Result<Ordinal, TableError> {
    let fields = key.strip_prefix(&[PREFIX]).and_then(|rest| rest.split_first_chunk());
    let place = fields.and_then(|(revision, step)| {
        let step = u64::from_be_bytes(step.try_into().ok()?);
        Some(Ordinal { revision: Revision(u64::from_be_bytes(*revision)), step })
    });
    place.ok_or_else(|| TableError(format!("{key:02x?} is not the key of a block")))
}

/// The bytes of a block whose key is `first`.
pub(crate) fn encode<'a>(first: Ordinal, records: impl IntoIterator<Item = &'a Stored>) -> Bytes {
    let mut out = Writer::with_capacity(BLOCK_BYTES + 64);
    out.byte(FORMAT);
    let mut before = first.revision.get();
    for record in records {
        out.byte(record.table as u8);
        out.varint(record.at.revision.get() - before);
        out.varint(record.at.step);
        out.bytes(&record.bytes);
        before = record.at.revision.get();
    }
    let crc = checksum(first, out.written());
    out.raw(&crc);
    out.finish()
}

/// The records of a block, as slices of it, each checked as far as the block's checksum goes.
pub(crate) fn decode(first: Ordinal, bytes: &Bytes) -> Result<Vec<Stored>, TableError> {
    let mut records = Vec::with_capacity(16);
    each(first, bytes, &mut |record| {
        records.push(record);
        true
    })?;
    Ok(records)
}

/// The record at a place, if the block has it.
pub(crate) fn find(first: Ordinal, bytes: &Bytes, at: Ordinal) -> Result<Option<Stored>, TableError> {
    let mut found = None;
    each(first, bytes, &mut |record| {
        if record.at == at {
            found = Some(record);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// The error for a damaged block.
pub(crate) fn damaged(first: Ordinal, what: impl std::fmt::Display) -> TableError {
    TableError(format!("the block of records from revision {first} on is damaged: {what}"))
}

/// Visits the records in order as long as `visit` returns true.
pub(crate) fn each(
    first: Ordinal,
    bytes: &Bytes,
    visit: &mut dyn FnMut(Stored) -> bool,
) -> Result<(), TableError> {
    let body = checked(first, bytes).ok_or_else(|| damaged(first, "its checksum does not match"))?;
    match body.first() {
        Some(&FORMAT) => {}
        Some(format) => return Err(other_format("a block", *format, FORMAT)),
        None => return Err(damaged(first, "it is empty")),
    }
    let mut from = Reader::new(&body);
    let mut read = || -> Result<Result<(), u8>, DecodeError> {
        from.byte()?;
        let mut before = first;
        while !from.is_at_end() {
            let number = from.byte()?;
            let Some(table) = TableId::of(number) else { return Ok(Err(number)) };
            let revision = from.varint()?.checked_add(before.revision.get());
            let revision = revision.ok_or_else(|| from.refuse("a revision above 64 bits"))?;
            let at = Ordinal { revision: Revision(revision), step: from.varint()? };
            let bytes = from.bytes()?;
            if !visit(Stored { table, at, bytes }) {
                break;
            }
            before = at;
        }
        Ok(Ok(()))
    };
    match read() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(number)) => Err(newer_state(format_args!("a record of table {number}"))),
        Err(error) => Err(damaged(first, error)),
    }
}

fn checked(first: Ordinal, bytes: &Bytes) -> Option<Bytes> {
    let body = bytes.slice(..bytes.len().checked_sub(CRC_BYTES)?);
    (checksum(first, &body) == bytes[body.len()..]).then_some(body)
}

fn checksum(first: Ordinal, body: &[u8]) -> [u8; CRC_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(&block_key(first)), body).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(revision: u64, step: u64, bytes: &'static [u8]) -> Stored {
        let at = Ordinal { revision: Revision(revision), step };
        Stored { table: TableId::Versions, at, bytes: Bytes::from_static(bytes) }
    }

    fn records() -> Vec<Stored> {
        vec![stored(300, 7, b"hello"), stored(300, 9, b""), stored(70_000, 0, b"world")]
    }

    #[test]
    fn a_block_comes_back() {
        let (first, records) = (records()[0].at, records());
        let bytes = encode(first, &records);
        assert_eq!(decode(first, &bytes).unwrap(), records);
        assert_eq!(find(first, &bytes, records[1].at).unwrap().as_ref(), Some(&records[1]));
        assert_eq!(find(first, &bytes, stored(300, 8, b"").at).unwrap(), None);
        assert_eq!(first_place(&block_key(first)), Ok(first));
        assert!(bytes.len() <= 5 + records.iter().map(Stored::size).sum::<usize>());
    }

    #[test]
    fn every_flipped_bit_and_a_wrong_place_are_noticed() {
        let (first, bytes) = (records()[0].at, encode(records()[0].at, &records()));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = decode(first, &damaged.into()).unwrap_err();
            assert!(error.0.contains("revision 300.7"), "{error}");
        }
        for length in 0..bytes.len() {
            assert!(decode(first, &bytes.slice(..length)).is_err());
        }
        assert!(decode(stored(301, 7, b"").at, &bytes).is_err());
    }
}
