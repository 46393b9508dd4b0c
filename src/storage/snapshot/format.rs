//! What encoder and decoder agree on.

use crate::raft::{Members, SnapshotMeta};
use crate::storage::codec::{self, Malformed};
use crate::types::{ClusterId, EntryId, Revision};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

pub(crate) const MAGIC: &[u8; 8] = b"KONTIKI\0";
pub(crate) const VERSION: u32 = 3;
/// Magic and version.
pub(crate) const PREAMBLE_BYTES: usize = 12;
/// Kind, length, checksum.
pub(crate) const FRAME_HEAD_BYTES: usize = 9;
/// The size at which a block ends.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;
/// The largest frame: a block holds at most one record that is larger than a block, and the size of requests
/// bounds that of records.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;
/// Number of records, hash.
pub(crate) const TRAILER_BYTES: usize = 8 + 16;

pub(crate) const HEADER: u8 = 1;
pub(crate) const BLOCK: u8 = 2;
pub(crate) const TRAILER: u8 = 3;

/// What a snapshot covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    pub cluster: ClusterId,
    /// The last entry whose effect it includes.
    pub last: EntryId,
    /// The members at that entry.
    pub members: Members,
    /// The store's revision at that entry.
    pub revision: Revision,
}

impl SnapshotHeader {
    /// The part that consensus needs.
    pub fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last: self.last, members: self.members.clone() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.cluster.get());
        codec::put_entry_id(&mut out, self.last);
        out.put_u64(self.revision.get());
        codec::put_members(&mut out, &self.members);
        out
    }

    pub(crate) fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let cluster = ClusterId(body.try_get_u64()?);
        let last = codec::get_entry_id(&mut body)?;
        let revision = Revision(body.try_get_u64()?);
        let members = codec::get_members(&mut body)?;
        codec::end(body)?;
        Ok(Self { cluster, last, members, revision })
    }
}

/// Bytes that are not a snapshot file, or are a damaged one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFileError {
    /// It does not begin with the magic bytes.
    #[error("this is not a snapshot file of Kontiki: it does not begin with its magic bytes")]
    NotASnapshot,
    /// It was written by another version of Kontiki.
    #[error(
        "the snapshot file has format {found}, but this version of Kontiki reads only format {VERSION}; use the \
         version that wrote it"
    )]
    OtherFormat { found: u32 },
    #[error("the snapshot file is damaged at byte {offset}: {reason}")]
    Damaged {
        /// The offset in the file of the frame that is wrong, in bytes.
        offset: u64,
        reason: String,
    },
    /// It ends too early.
    #[error("the snapshot file is cut short: it ends at byte {offset} without its trailer")]
    Truncated { offset: u64 },
    /// The file could not be read.
    #[error("the snapshot file cannot be read: {0}")]
    Io(String),
}

pub(crate) fn frame(kind: u8, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len()).expect("a frame is limited to a few MiB");
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + body.len());
    frame.put_u8(kind);
    frame.put_u32(length);
    frame.put_u32(checksum(kind, length, body));
    frame.put_slice(body);
    frame.freeze()
}

pub(crate) fn checksum(kind: u8, length: u32, body: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&[kind]);
    let sum = crc32c::crc32c_append(sum, &length.to_be_bytes());
    crc32c::crc32c_append(sum, body)
}
