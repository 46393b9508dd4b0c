//! An ordered map from keys to values that remembers its past (MVCC).
//!
//! Pure: no clock, thread, socket, randomness or disk. Values are fetched and changes are stored by the owner
//! of the map ([`machine`](crate::machine)).
//!
//! # The model
//!
//! The store has one [`Revision`](crate::types::Revision). It is 1 while the store is empty, and each command
//! that changes something makes the next one, however many keys it changes: within a revision the changes are
//! numbered (*sub*). A command that changes nothing makes no revision: a delete that finds no key, a
//! transaction that only reads, a compaction, a refused command.
//!
//! A key's *create revision* is the one at which it was created after it was last absent, its *mod revision*
//! the one of its last change, its *version* the number of puts since its creation. A delete writes a
//! *tombstone* and ends that count.
//!
//! Old versions stay readable, at their revision, until a [`Compact`] at or
//! above it. `Compact(R)` makes `R` the oldest readable revision: of each key
//! the newest version at or below `R` stays, unless that is a tombstone.
//!
//! A transaction is decided before it is done: whether a branch changes a key
//! twice, which branches are taken, whether the revisions it reads can be
//! read. As in etcd, *all* comparisons, those of nested transactions too, look
//! at the state before the transaction; only reads see what earlier operations
//! of it wrote. If the answer turns out too large, everything is undone.
//!
//! # Readers and the writer
//!
//! There is one index, in memory, behind a lock that nobody holds for longer than a few hundred keys take
//! (`index.rs`). A reader fixes a revision: versions above it are invisible to it. The revisions being read
//! are known (`readers.rs`), so none of their versions is removed. So a reader may take as long as it likes,
//! and the writer waits for none.
//!
//! # Caveats
//!
//! * The index holds every key in memory: at most 100 bytes besides the key and its first version, and 24
//!   for each further version that was not compacted yet.
//! * A count walks over the range, though only in memory; so does a read of the past over keys that were
//!   deleted since and not yet compacted. A command may walk only so far (`work.rs`).
//! * There are no leases yet. Records have a field for them.

pub(crate) mod codec;
pub(crate) mod compaction;
mod conflict;
pub(crate) mod draft;
mod history;
pub(crate) mod horizon;
pub(crate) mod index;
pub(crate) mod index_builder;
mod key_range;
mod limits;
mod model;
pub(crate) mod read;
mod read_error;
pub(crate) mod readers;
mod recent_deletes;
pub(crate) mod record;
pub(crate) mod revisions;
mod table_error;
pub(crate) mod txn;
pub(crate) mod version;
pub(crate) mod work;

pub use codec::DecodeError;
pub use limits::CommandLimits;
pub use model::*;
pub use read_error::ReadError;
pub use table_error::TableError;
pub use work::{Caller, Patient};
