//! The loop that drives consensus, and the workers around it.
//!
//! ```text
//!  clients ─▶ Handle ══Request══▶ ┌────────┐ ──messages──▶ Transport ─▶ peers
//!  peers ───▶ Handle ══Message══▶ │ driver │ ──persist───▶ log writer ─┐
//!  workers ───────────══Fact════▶ └────────┘ ──committed─▶ applier     │ Fact::Persisted
//!                                      ▲                     │ publishes the View, answers
//!                                      └─────────────────────┴─────────┘
//! ```
//!
//! One task owns the [`Node`](crate::raft::Node) (`driver.rs`); everybody else sends it events. Two threads
//! own the disks: the log writer (`log_writer.rs`), which makes groups of entries durable with one fsync
//! (`log_storer.rs` then moves them to where they can be read), and the applier (`applier.rs`), which applies
//! committed entries in order and publishes an immutable [`View`](crate::machine::View) for reads, which run
//! concurrently and never wait for it. Entries are sent to the applier together with their waiters
//! (`pending.rs`). A third thread makes the state durable once in a while (`state_syncer.rs`), after which
//! the log that it covers may be forgotten.
//!
//! Every queue that can be filled from outside is bounded: when it is full, requests are refused and messages
//! dropped. The queues to the workers hold no more than the log's tail, which the core bounds.

mod advertise;
mod applier;
mod busy;
mod disk_pace;
mod driver;
mod error;
mod event;
mod fatal;
mod handle;
mod log_reading;
mod log_retention;
#[cfg(test)]
mod log_retention_tests;
mod log_storer;
mod log_writer;
mod options;
mod pending;
mod published;
mod restore;
mod snapshot;
mod snapshot_receiver;
mod start;
mod state_syncer;
mod status;
mod transfer;
mod transport;
mod waiters;
mod watchdog;
mod worker;

pub use applier::Applier;
pub use driver::Driver;
pub use error::{AdvertiseError, InstallError, ReadError, StartError, TransferError, WriteError};
pub use event::Applied;
pub use fatal::{Ending, Fatal};
pub use handle::Handle;
pub use log_reading::LogReading;
pub use log_storer::LogStorer;
pub use log_writer::LogWriter;
pub use options::{ReplicaOptions, Retention};
pub use snapshot::{ReceivedSnapshot, SnapshotIntake};
pub use snapshot_receiver::SnapshotReceiver;
pub use start::{Parts, Start, assemble, start};
pub use state_syncer::StateSyncer;
pub use status::Status;
pub use transport::{Snapshot, SnapshotError, SnapshotStream, Transport};
