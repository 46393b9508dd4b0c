//! Appending to the journal: one write and one sync for all waiting groups.

use crate::raft::Persist;
use crate::storage::error::StorageError;
use crate::storage::journal::files::JournalFiles;
use crate::storage::journal::group;
use crate::storage::journal::record::{self, Head};
use crate::storage::journal::sector::{Header, Salt};
use crate::storage::journal::segments::{Segment, Segments};
use crate::types::DirectoryId;
use std::sync::Arc;

/// The buffer is freed after a write that made it larger than this.
const BUFFER_BYTES: usize = 1 << 20;

/// How much of a group was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// All of it, ending with this record. Durable after the next [`sync`](Journal::sync).
    Whole(u64),
    /// The segment is full, and all of it is durable. [`Journal::begin`] another.
    SegmentFull,
}

/// The journal, for the thread that writes it.
pub struct Journal {
    pub(crate) files: Arc<dyn JournalFiles>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) directory: DirectoryId,
    pub(crate) secret: u64,
    /// The segment in use and how far it is written.
    pub(crate) active: Option<(Segment, usize)>,
    /// What is not needed according to the header that is written next.
    pub(crate) promised: Option<u64>,
    /// The generation of the segment in use, or of the previous one.
    pub(crate) generation: u64,
    pub(crate) number: u64,
    /// The last record that is durable.
    pub(crate) synced: u64,
    /// The checksum of the last record.
    pub(crate) chain: u32,
    /// The bytes to write next, at the end of what is written.
    pub(crate) buffer: Vec<u8>,
    /// The group being written, and how much of it is in records.
    pub(crate) group: Vec<u8>,
    pub(crate) cut: usize,
}

impl Journal {
    /// Starts a group; [`fill`](Self::fill) writes it.
    pub(crate) fn put(&mut self, jobs: &[Persist]) {
        assert_eq!(self.cut, self.group.len(), "one group after the other");
        self.group.clear();
        self.cut = 0;
        group::encode(jobs, &mut self.group);
    }

    /// Cuts the current group into records until it is complete or the segment is full.
    pub(crate) fn fill(&mut self) -> Result<Filled, StorageError> {
        let Some((segment, written)) = &self.active else { return Ok(Filled::SegmentFull) };
        let Some(room) = record::room(segment.bytes - written - self.buffer.len()) else {
            self.finish_segment()?;
            return Ok(Filled::SegmentFull);
        };
        let end = self.group.len().min(self.cut + room);
        self.number += 1;
        let head = Head {
            generation: self.generation,
            number: self.number,
            synced: self.synced,
            chain: self.chain,
            begins: self.cut == 0,
            ends: end == self.group.len(),
        };
        let salt = Salt::new(self.directory, self.secret);
        self.chain = record::encode(salt, head, &self.group[self.cut..end], &mut self.buffer);
        self.cut = end;
        if head.ends {
            return Ok(Filled::Whole(self.number));
        }
        self.finish_segment()?;
        Ok(Filled::SegmentFull)
    }

    /// Makes the segment durable, as the header of the next one will claim.
    fn finish_segment(&mut self) -> Result<(), StorageError> {
        self.sync()?;
        if let Some((segment, _)) = self.active.take() {
            self.segments.fill(segment, self.number);
        }
        Ok(())
    }

    /// Continues in a segment whose content is not needed any more. Its header is written together with the
    /// first record.
    pub(crate) fn begin(&mut self, segment: Segment) {
        assert!(
            self.active.is_none() && self.buffer.is_empty(),
            "a segment is finished before the next begins"
        );
        self.generation += 1;
        let floor = self.segments.floor();
        self.promised = Some(floor.number);
        let header = Header {
            generation: self.generation,
            first: self.number + 1,
            chain: self.chain,
            secret: self.secret,
            floor,
        };
        header.encode(self.directory, &mut self.buffer);
        self.active = Some((segment, 0));
    }

    /// Returns when all groups are on stable storage.
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        let Some((segment, written)) = &mut self.active else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        segment.file.write(*written, &self.buffer)?;
        *written += self.buffer.len();
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        self.group.shrink_to(BUFFER_BYTES);
        segment.file.sync()?;
        self.synced = self.number;
        if let Some(number) = self.promised.take() {
            self.segments.release(number);
        }
        // Only now, as it must never claim too much.
        self.files.note(self.synced)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("number", &self.number)
            .field("synced", &self.synced)
            .finish_non_exhaustive()
    }
}
