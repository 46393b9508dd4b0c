//! The snapshot file: a state as one stream of bytes.
//!
//! The same bytes are sent from node to node, written by `kontiki snapshot save` and read by `kontiki
//! snapshot inspect`. Pure functions over bytes.
//!
//! ```text
//! file    = magic (8 bytes) ‖ version (u32) ‖ header ‖ block* ‖ trailer
//! header  = frame 1: cluster, last entry (term, index), revision, members
//! block   = frame 2: (key length ‖ value length ‖ key ‖ value)*, about 256 KiB
//! trailer = frame 3: number of records, xxh3-128 of all bytes before this frame
//! frame   = kind (u8) ‖ length (u32) ‖ CRC32C of kind, length and body ‖ body
//! ```
//!
//! Numbers are big-endian. A frame's checksum detects damage early, before a record in it is used; the
//! trailer detects what a checksum per frame cannot: frames that are missing, repeated or out of order, and a
//! missing end. Nothing may follow it. A reader allocates no more than it was sent, whatever a length claims.

mod decoder;
mod encoder;
mod format;

pub use decoder::{Decoder, Summary, inspect};
pub use encoder::{Encoder, encode};
pub use format::{SnapshotFileError, SnapshotHeader};
