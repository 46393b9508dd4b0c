//! The records of the state, packed into blocks.
//!
//! An engine's cost is per record, so neighboring records share one: a *block* of about 4 KiB, whose key is
//! the place of its first record. Records are in the order of all changes and are never modified. So the
//! state is a list of blocks, of which only the last, the *open* one, still grows.
//!
//! ```text
//! key    = 0x02 revision(8) step(8)                              of the first record, big-endian
//! block  = format(1) record* crc32c(4)                           the checksum covers the key too
//! record = table(1) revision(varint, from the one before) step(varint) length(varint) bytes
//! 0x03   → the meta record, see `meta.rs`
//! ```
//!
//! # Order instead of batches
//!
//! A crash leaves a prefix of what was written. So everything is written in an order in which every prefix is
//! consistent:
//!
//! | what | order |
//! |---|---|
//! | new records | blocks ascending as they fill up; at a save the open one as it is, then the meta record that vouches for them. At a start what lies above the meta record is removed, and the log makes it again |
//! | a compaction | the index forgets garbage; the next meta record counts it no longer; only then blocks with garbage are written again without it, or removed |
//! | a tombstone | leaves only when no block below its own has garbage: were it gone before an older put of its key, that would come back to life |
//! | two blocks become one | the lower is written with the records of both, then the upper is removed. Both are there after a crash in between, and the copies are skipped |
//!
//! A start counts the live records. What is garbage follows from how far the meta record says was collected;
//! whether it is still there does not matter.
//!
//! # Who does what
//!
//! The applier adds records and writes full blocks, and cleans blocks in small steps ([`Store`]). Saving is a
//! matter of whoever syncs the state, now and then; nobody waits for it. Readers find a record among the
//! *fresh* ones, which are not in a full block yet, or else in the block that the directory names.

mod block;
mod cache;
mod clean;
mod directory;
mod load;
mod store;

pub(crate) use block::{BLOCK_BYTES, block_key, decode, encode, first_place};
pub(crate) use load::{load, load_meta};
pub(crate) use store::Store;
