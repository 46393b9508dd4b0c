//! The replicated state machine: an ordered map from keys to values that
//! remembers its past.
//!
//! Pure: no clock, thread, socket or chance. The same entries in the same order
//! give the same answers, the same records and the same hashes on every node.
//!
//! # The model
//!
//! The store has one [`Revision`](crate::types::Revision). It is 1 while the
//! store is empty, and each command that changes something makes the next one,
//! however many keys it changes: within a revision the changes are numbered
//! (*sub*). What changes nothing makes no revision: a delete that finds no key,
//! a transaction that only reads, a compaction, a refused command.
//!
//! A key's *create revision* is where it came to be since it was last absent,
//! its *mod revision* where it last changed, its *version* the number of puts
//! in between. A delete writes a *tombstone* and ends that count.
//!
//! Old versions stay readable, at their revision, until a [`Compact`] at or
//! above it. `Compact(R)` makes `R` the oldest readable revision: of each key
//! the newest version at or below `R` stays, unless that is a tombstone.
//!
//! A transaction is decided before it is done: whether a branch changes a key
//! twice, which branches are taken, whether the revisions it reads can be
//! read. As in etcd, *all* comparisons, those of nested transactions too, look
//! at the state before the transaction; only reads see what earlier operations
//! of it wrote. Should the answer turn out too large, all is taken back.
//!
//! # Where things are
//!
//! ```text
//!            index (memory)                           table (disk)
//! key ─▶ versions: revision.sub, sizes, counts ─▶ revision.sub ─▶ key, value, counts, CRC
//!                                                 meta ─▶ applied entry, revisions, hash, inventory, members
//! ```
//!
//! The table is append-only between compactions. The index is rebuilt from it
//! by one scan when a [`Machine`] is opened. There is one, behind a lock that nobody
//! holds for longer than a few hundred keys take. A [`View`] is a revision with the meta
//! record beside it: versions above that revision are invisible to it, and it is known which revisions are being
//! read, so that none of their versions is removed. So a reader may take as long as it likes.
//!
//! # The life of a put
//!
//! 1. The replica has it committed in the log and calls [`Machine::apply`] with
//!    its id and its bytes ([`Command::decode`]; what does not decode is refused
//!    by all nodes alike).
//! 2. The index tells the version it replaces. If that was asked for, its value
//!    is fetched: from what is staged, or from the table.
//! 3. The new record is staged and the index extended. The rolling hash takes in
//!    the record. The answer is ready.
//! 4. [`Machine::commit`], once for many entries, writes batches of whole entries, each
//!    with the meta record as of its last entry: after a crash the table is at
//!    some entry's end, and the log is applied again from there.
//! 5. The view that `commit` returns shows the put to readers.
//! 6. Replaced and compacted later, it is found by [`Machine::collect_garbage`],
//!    a few keys at a time, and removed from index and table.
//!
//! # Two hashes
//!
//! [`View::state_hash`] is kept up with every entry: equal on all nodes at the
//! same applied index, and a proof that they *decided* alike. [`View::hash`]
//! reads all that can be read from the disk: a proof that they still *have* it.
//! Which garbage a node has removed already is seen by neither.
//!
//! # Caveats
//!
//! * The index holds every key in memory: at most 100 bytes beside the key and its first version, and 24
//!   for each further version that was not compacted yet.
//! * A count walks over the range, if only in memory; so does a read of the past over keys that were deleted since and not yet compacted.
//! * A view holds back the removal of what its own revision needs, and only that. A read of an
//!   older revision through it may therefore be refused as compacted although the view itself has not seen the compaction.
//! * After a restart, all keys are walked once to find what garbage is left.
//! * There are no leases, sessions and watches yet. Records have a field for the
//!   lease and a format byte; tables of another kind get another key prefix.

mod codec;
mod command;
mod compaction;
mod conflict;
mod draft;
mod export;
mod history;
mod horizon;
mod index;
mod inventory;
mod key_range;
mod machine;
mod memory_table;
mod meta;
mod model;
mod read;
mod read_error;
mod readers;
mod record;
mod reply;
mod staged;
mod table;
mod txn;
mod version;
mod view;

pub use codec::DecodeError;
pub use export::Export;
pub use machine::Machine;
pub use memory_table::MemoryTable;
pub use model::*;
pub use read_error::ReadError;
pub use table::{Batch, Scan, Table, TableError};
pub use view::{StateHash, View};
