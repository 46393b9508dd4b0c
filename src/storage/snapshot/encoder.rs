//! Encodes a snapshot file, piece by piece.

use crate::kv::TableError;
use crate::storage::snapshot::format::{
    BLOCK, BLOCK_BYTES, FRAME_BYTES_MAX, HEADER, MAGIC, SnapshotHeader, TRAILER, TRAILER_BYTES, VERSION,
    frame,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use std::iter::FusedIterator;
use xxhash_rust::xxh3::Xxh3;

/// The snapshot file of a state, in pieces of about 256 KiB, encoded lazily. An error from `records` ends it;
/// then the file is incomplete.
pub fn encode<R>(header: &SnapshotHeader, records: R) -> Encoder<R::IntoIter>
where
    R: IntoIterator<Item = Result<(Bytes, Bytes), TableError>>,
{
    let mut start = BytesMut::new();
    start.put_slice(MAGIC);
    start.put_u32(VERSION);
    start.put_slice(&frame(HEADER, &header.encode()));
    Encoder {
        state: Upcoming::Start(start.freeze()),
        records: records.into_iter(),
        count: 0,
        hash: Xxh3::new(),
    }
}

/// The pieces of a snapshot file.
pub struct Encoder<R> {
    state: Upcoming,
    records: R,
    count: u64,
    hash: Xxh3,
}

enum Upcoming {
    Start(Bytes),
    Records,
    Trailer,
    Ended,
}

impl<R: Iterator<Item = Result<(Bytes, Bytes), TableError>>> Encoder<R> {
    /// The next block; empty if there are no more records.
    fn block(&mut self) -> Result<Vec<u8>, TableError> {
        let mut block = Vec::new();
        while block.len() < BLOCK_BYTES {
            let Some(record) = self.records.next() else { break };
            let (key, value) = record?;
            if key.len() + value.len() > FRAME_BYTES_MAX - 2 * BLOCK_BYTES {
                return Err(TableError(format!(
                    "a record of {} bytes does not fit into a snapshot file",
                    key.len() + value.len()
                )));
            }
            put_bytes_length(&mut block, &key);
            put_bytes_length(&mut block, &value);
            block.put_slice(&key);
            block.put_slice(&value);
            self.count += 1;
        }
        Ok(block)
    }

    fn trailer(&self) -> Bytes {
        let mut body = Vec::with_capacity(TRAILER_BYTES);
        body.put_u64(self.count);
        body.put_u128(self.hash.digest128());
        frame(TRAILER, &body)
    }

    fn hashed(&mut self, piece: Bytes) -> Option<Result<Bytes, TableError>> {
        self.hash.update(&piece);
        Some(Ok(piece))
    }
}

impl<R: Iterator<Item = Result<(Bytes, Bytes), TableError>>> Iterator for Encoder<R> {
    type Item = Result<Bytes, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        match std::mem::replace(&mut self.state, Upcoming::Ended) {
            Upcoming::Start(start) => {
                self.state = Upcoming::Records;
                self.hashed(start)
            }
            Upcoming::Records => match self.block() {
                Ok(block) if block.is_empty() => {
                    self.state = Upcoming::Trailer;
                    self.next()
                }
                Ok(block) => {
                    self.state = Upcoming::Records;
                    self.hashed(frame(BLOCK, &block))
                }
                Err(error) => Some(Err(error)),
            },
            Upcoming::Trailer => Some(Ok(self.trailer())),
            Upcoming::Ended => None,
        }
    }
}

impl<R: Iterator<Item = Result<(Bytes, Bytes), TableError>>> FusedIterator for Encoder<R> {}

impl<R> std::fmt::Debug for Encoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("records", &self.count).finish_non_exhaustive()
    }
}

fn put_bytes_length(out: &mut Vec<u8>, bytes: &Bytes) {
    out.put_u32(u32::try_from(bytes.len()).expect("a record is limited to a frame"));
}
