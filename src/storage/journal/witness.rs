//! A second, independent note of how far the log was durable.
//!
//! A flipped bit in the journal's last group looks like a torn write, and would be dropped with the acknowledged
//! entries and votes in it: nothing after it says that it was synced. So after each durable write the number of
//! its last record is written to a small file beside the segments. If the journal comes back without a record of
//! that number or a higher one, it has lost data, and the node must not start.
//!
//! The note is written *after* the log is durable, so it never claims too much, and is itself not synced, so
//! nobody waits for it: a killed process leaves it exact; a power cut may leave an older one, which claims
//! less.

use crate::storage::error::StorageError;
use crate::storage::fsync;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 4] = b"KWIT";
const BYTES: usize = 16;

#[derive(Debug)]
pub(crate) struct Witness {
    file: File,
    path: PathBuf,
}

impl Witness {
    /// Makes the file anew with what it said (durably, so that neither its length nor its name changes later).
    pub(crate) fn open(path: &Path, noted: u64) -> Result<Self, StorageError> {
        fsync::replace_file(path, &encode(noted))?;
        let file = File::options().write(true).open(path).map_err(StorageError::io("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The last record known to have been durable. An unreadable note claims nothing.
    pub(crate) fn read(path: &Path) -> u64 {
        let sequence = fs::read(path).ok().and_then(|bytes| decode(&bytes));
        if sequence.is_none() && path.exists() {
            tracing::warn!(path = %path.display(), "the note of how far the log was durable cannot be read; going on without");
        }
        sequence.unwrap_or(0)
    }

    /// Notes that the record `sequence` is durable.
    pub(crate) fn note(&self, sequence: u64) -> Result<(), StorageError> {
        self.file.write_all_at(&encode(sequence), 0).map_err(StorageError::io("write", &self.path))
    }
}

fn encode(sequence: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4..12].copy_from_slice(&sequence.to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let sequence = u64::from_be_bytes(bytes[4..12].try_into().ok()?);
    (*bytes == encode(sequence)).then_some(sequence)
}
