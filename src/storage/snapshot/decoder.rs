//! Decodes a snapshot file that arrives in arbitrary pieces, trusting none of them.

use crate::storage::codec::{self, Malformed};
use crate::storage::snapshot::format::{
    BLOCK, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, HEADER, MAGIC, PREAMBLE_BYTES, SnapshotFileError,
    SnapshotHeader, TRAILER, TRAILER_BYTES, VERSION, checksum,
};
use bytes::{Buf as _, Bytes, BytesMut};
use std::io::Read;
use xxhash_rust::xxh3::Xxh3;

type Record = (Bytes, Bytes);

/// What a whole file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub header: SnapshotHeader,
    pub records: u64,
    pub bytes: u64,
    /// The xxh3-128 of everything before its trailer.
    pub hash: u128,
}

/// Reads a snapshot file incrementally.
///
/// Records are handed out as soon as their block has been checked, but the file is valid only if
/// [`finish`](Self::finish) succeeds.
#[derive(Debug)]
pub struct Decoder {
    state: Expected,
    /// Bytes received but not decoded yet: less than a frame.
    buffer: BytesMut,
    /// The offset of `buffer` in the file.
    offset: u64,
    hash: Hash,
    header: Option<SnapshotHeader>,
    records: u64,
    failed: Option<SnapshotFileError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Preamble,
    Header,
    Blocks,
    Ended(u128),
}

struct Hash(Xxh3);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0.digest128())
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a file.
    pub fn new() -> Self {
        Self {
            state: Expected::Preamble,
            buffer: BytesMut::new(),
            offset: 0,
            hash: Hash(Xxh3::new()),
            header: None,
            records: 0,
            failed: None,
        }
    }

    /// The header, once it has been received.
    pub fn header(&self) -> Option<&SnapshotHeader> {
        self.header.as_ref()
    }

    /// How many bytes have been received.
    pub fn offset(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Takes the next bytes; returns the records that they complete. An error is final.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<(Bytes, Bytes)>, SnapshotFileError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.buffer.extend_from_slice(bytes);
        let mut records = Vec::new();
        while !self.buffer.is_empty() {
            match self.step(&mut records) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(records)
    }

    /// Ends the file; checks that it was complete and correct.
    pub fn finish(self) -> Result<Summary, SnapshotFileError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match (self.state, self.header) {
            (Expected::Ended(hash), Some(header)) => {
                Ok(Summary { header, records: self.records, bytes: self.offset, hash })
            }
            _ => Err(SnapshotFileError::Truncated { offset: self.offset + self.buffer.len() as u64 }),
        }
    }

    /// Takes one frame from the buffer; false if it is not complete yet.
    fn step(&mut self, records: &mut Vec<Record>) -> Result<bool, SnapshotFileError> {
        match self.state {
            Expected::Preamble => self.preamble(),
            Expected::Ended(_) => Err(self.damaged("bytes follow the trailer")),
            Expected::Header | Expected::Blocks => {
                let Some((kind, length)) = self.frame_head()? else {
                    return Ok(false);
                };
                if self.buffer.len() < FRAME_HEAD_BYTES + length {
                    return Ok(false);
                }
                self.frame(kind, length, records)?;
                Ok(true)
            }
        }
    }

    fn preamble(&mut self) -> Result<bool, SnapshotFileError> {
        let known = self.buffer.len().min(MAGIC.len());
        if self.buffer[..known] != MAGIC[..known] {
            return Err(SnapshotFileError::NotASnapshot);
        }
        if self.buffer.len() < PREAMBLE_BYTES {
            return Ok(false);
        }
        let preamble = self.take(PREAMBLE_BYTES);
        self.hash.0.update(&preamble);
        let version = preamble.slice(MAGIC.len()..).get_u32();
        match version {
            VERSION => self.state = Expected::Header,
            0 => return Err(SnapshotFileError::NotASnapshot),
            found => return Err(SnapshotFileError::OtherFormat { found }),
        }
        Ok(true)
    }

    /// Kind and length of the current frame, checked against what may come next, so that a wrong length is
    /// not waited for.
    fn frame_head(&self) -> Result<Option<(u8, usize)>, SnapshotFileError> {
        let Some(&kind) = self.buffer.first() else {
            return Ok(None);
        };
        let expected =
            if self.state == Expected::Header { kind == HEADER } else { kind == BLOCK || kind == TRAILER };
        if !expected {
            return Err(self.damaged(format!("a frame of kind {kind} does not belong here")));
        }
        let Some(mut length) = self.buffer.get(1..5) else {
            return Ok(None);
        };
        let length = length.get_u32() as usize;
        if length > FRAME_BYTES_MAX || (kind == TRAILER && length != TRAILER_BYTES) {
            return Err(self.damaged(format!("a frame of {length} bytes does not belong here")));
        }
        Ok(Some((kind, length)))
    }

    fn frame(&mut self, kind: u8, length: usize, records: &mut Vec<Record>) -> Result<(), SnapshotFileError> {
        let body = &self.buffer[FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + length];
        let stored = (&self.buffer[5..FRAME_HEAD_BYTES]).get_u32();
        let actual = checksum(kind, u32::try_from(length).unwrap_or(u32::MAX), body);
        if stored != actual {
            return Err(self.damaged(format!(
                "the checksum of the frame is {stored:08x}, that of its content {actual:08x}"
            )));
        }
        let before = self.hash.0.digest128();
        let start = self.offset;
        let frame = self.take(FRAME_HEAD_BYTES + length);
        self.hash.0.update(&frame);
        let body = frame.slice(FRAME_HEAD_BYTES..);
        let taken = match kind {
            HEADER => self.take_header(&body),
            BLOCK => self.take_block(body, records),
            _ => self.take_trailer(&body, before),
        };
        taken.map_err(|Malformed(reason)| SnapshotFileError::Damaged { offset: start, reason })
    }

    fn take_header(&mut self, body: &[u8]) -> Result<(), Malformed> {
        self.header = Some(SnapshotHeader::decode(body)?);
        self.state = Expected::Blocks;
        Ok(())
    }

    fn take_block(&mut self, mut body: Bytes, records: &mut Vec<Record>) -> Result<(), Malformed> {
        while !body.is_empty() {
            let (key, value) = (body.try_get_u32()? as usize, body.try_get_u32()? as usize);
            records.push((codec::get_bytes(&mut body, key)?, codec::get_bytes(&mut body, value)?));
            self.records += 1;
        }
        Ok(())
    }

    fn take_trailer(&mut self, mut body: &[u8], actual: u128) -> Result<(), Malformed> {
        let records = body.try_get_u64()?;
        let hash = body.try_get_u128()?;
        if records != self.records {
            return Err(Malformed(format!(
                "the trailer counts {records} records, but {} have come",
                self.records
            )));
        }
        if hash != actual {
            return Err(Malformed(format!(
                "the hash of the file is {actual:032x}, its trailer says {hash:032x}"
            )));
        }
        self.state = Expected::Ended(hash);
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        self.offset += bytes as u64;
        self.buffer.split_to(bytes).freeze()
    }

    fn damaged(&self, reason: impl Into<String>) -> SnapshotFileError {
        SnapshotFileError::Damaged { offset: self.offset, reason: reason.into() }
    }
}

/// Reads a whole file, keeping nothing, and says what it holds.
pub fn inspect(mut reader: impl Read) -> Result<Summary, SnapshotFileError> {
    let mut decoder = Decoder::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return decoder.finish(),
            Ok(length) => drop(decoder.push(&piece[..length])?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SnapshotFileError::Io(error.to_string())),
        }
    }
}
