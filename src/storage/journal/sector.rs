//! The header of a segment.
//!
//! A sector is the unit in which a device writes. A synced sector is never overwritten before its segment is
//! used again.

use crate::storage::codec::Malformed;
use crate::storage::journal::floor::Floor;
use crate::types::DirectoryId;
use bytes::{Buf as _, BufMut as _};

/// The bytes of a sector.
pub(crate) const SECTOR: usize = 512;

const MAGIC: u32 = 0x4b4a_5332; // "KJS2"
const BYTES: usize = 36 + Floor::BYTES;

/// The header of a segment in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Increases by one with each segment that is begun.
    pub generation: u64,
    /// The number of its first record. All records before it are synced.
    pub first: u64,
    /// The checksum of the record before the first.
    pub chain: u32,
    /// The same in all segments of a directory.
    pub secret: u64,
    /// What was not needed any more when it was begun.
    pub floor: Floor,
}

/// The initial value of records' checksums: without knowing the secret, nobody can store a value that looks
/// like a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Salt(pub u32);

impl Salt {
    pub(crate) fn new(directory: DirectoryId, secret: u64) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&directory.get().to_be_bytes()), &secret.to_be_bytes()))
    }
}

impl Header {
    pub(crate) fn encode(&self, directory: DirectoryId, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u32(MAGIC);
        out.put_u32(0);
        out.put_u64(self.generation);
        out.put_u64(self.first);
        out.put_u32(self.chain);
        out.put_u64(self.secret);
        self.floor.encode(out);
        out.resize(start + SECTOR, 0);
        let sum = checksum(directory, &out[start..]);
        out[start + 4..start + 8].copy_from_slice(&sum.to_be_bytes());
    }

    /// `None`: the segment was never used.
    pub(crate) fn decode(directory: DirectoryId, sector: &[u8]) -> Result<Option<Self>, Malformed> {
        if sector.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut rest = sector.get(..BYTES).unwrap_or_default();
        let magic = rest.try_get_u32()?;
        let sum = rest.try_get_u32()?;
        if magic != MAGIC || sum != checksum(directory, sector) {
            return Err(Malformed("its header cannot be read, or belongs to another directory".into()));
        }
        Ok(Some(Self {
            generation: rest.try_get_u64()?,
            first: rest.try_get_u64()?,
            chain: rest.try_get_u32()?,
            secret: rest.try_get_u64()?,
            floor: Floor::decode(&mut rest)?,
        }))
    }
}

/// Over the whole sector except the checksum itself, so that a flipped bit in the padding is noticed too.
fn checksum(directory: DirectoryId, sector: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&directory.get().to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &sector[..4]), &sector[8..])
}
