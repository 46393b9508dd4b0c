//! The replicated state machine: what an entry of the log does to the state of a node.
//!
//! Pure: no clock, thread, socket or randomness. The same entries in the same order
//! give the same answers, the same records and the same hashes on every node.
//!
//! ```text
//!            index (memory, kv)                       table (disk)
//! key ─▶ versions: revision.sub, sizes, counts ─▶ block of revision.sub ─▶ key, value, counts
//!                                                 meta ─▶ applied entry, revisions, hash, inventory
//! ```
//!
//! # Tables
//!
//! The state consists of tables (`tables/`): the versions of all keys, the members. All their records go into
//! one order, and from there on are handled alike: staged, counted, hashed, packed into blocks, exported. What a
//! record means, which ones still matter and who may still see them is known to its table alone (`state_table.rs`).
//!
//! # The life of a put
//!
//! 1. The replica has it committed in the log and calls [`Machine::apply`] with
//!    its id and its bytes ([`Command::decode`]; what does not decode ends the node, `compatibility.rs`).
//! 2. The index knows the version that it replaces ([`kv`](crate::kv)). If the previous version was asked for,
//!    its value is fetched: from the records that are not in a block yet, or from the table.
//! 3. The new record is added to those, to the index and to the rolling hash. The answer is ready.
//! 4. [`Machine::commit`], once for many entries, writes full blocks, and returns the [`View`] that shows the
//!    put to readers.
//! 5. A [`Saver`], now and then and on another thread, writes the rest and the meta record that vouches for all
//!    of it: after a crash the state ends with some entry, and the log is applied again from there (`blocks/`).
//! 6. Replaced and compacted later, it is found by [`Machine::collect_garbage`],
//!    a few keys at a time, and removed from index and table.
//!
//! # Two hashes
//!
//! [`View::state_hash`] is updated with every entry: equal on all nodes at the same applied index, and a
//! proof that they *decided* the same. [`View::hash`] reads everything that can be read from the disk: a
//! proof that they still *have* it. Neither depends on which garbage a node has removed.
//!
//! # Caveats
//!
//! * There are no leases, sessions and watches yet. Leases and sessions will be tables of their own.

mod blocks;
mod command;
mod compatibility;
mod contents;
mod encoding;
mod export;
mod inventory;
mod live;
#[allow(clippy::module_inception, reason = "the folder is named after what it is about")]
mod machine;
mod memory_table;
mod meta;
mod reply;
mod saver;
mod state_table;
mod stored;
mod table;
mod tables;
mod view;

pub use command::{Command, CommandResult, Raise, Reply};
pub use compatibility::{ClusterVersion, MachineError};
pub use contents::Contents;
pub use export::Export;
pub use live::StateHash;
pub use machine::{Budget, Machine, RECORD_CACHE_BYTES};
pub use memory_table::MemoryTable;
pub use saver::Saver;
pub use table::{Scan, Table};
pub use view::View;
