//! Consensus as a pure value: no clock, socket, disk, thread or global randomness.
//!
//! **Terms and elections.** Time is divided into terms with at most one leader each. A follower that hears
//! nothing for a random election timeout first asks whether it could win (pre-vote, thesis §9.6), so that a
//! node that was cut off does not disturb the others when it returns; then it enters a new term, votes for
//! itself and asks for votes (`role.rs`, `election.rs`). Voters give one vote per term, to a candidate whose
//! log is not behind theirs, and ignore requests while their leader is alive.
//!
//! **Replication.** The leader appends proposals and sends them to all
//! (`leader.rs`): one append at a time while it searches for the point where the logs agree, then a pipeline
//! (`progress.rs`). A follower merges them, and acknowledges what is on its disk (`follower.rs`). What a
//! majority holds durably is committed, if it ends with an entry of the leader's term; that is why a new
//! leader begins with a no-op.
//!
//! **Reads.** A leader that a majority confirms after the read began may answer from its state at the commit
//! index of that moment (`reads.rs`).
//!
//! **The disk.** Orders leave at once, statements wait: whatever a node says about itself (a vote, an
//! acknowledgement, its term) is held back until the write that it rests on is durable. The kind of message
//! decides (`message.rs`), in the only function that sends any (`core.rs`). No driver can get that order wrong.
//!
//! **Time and randomness are inputs**: ticks, and a seed.
//!
//! # What is missing
//!
//! * Members can change their URLs at run time, and joint majorities are counted, but members cannot be added or
//!   removed yet.
//! * No lease reads: each round of reads costs a round trip.
//! * The log's tail in memory is bounded; older entries have to be read from the log's store.

mod core;
mod effects;
mod election;
mod entry;
mod follower;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod leader;
mod log;
#[cfg(test)]
mod log_tests;
mod members;
mod message;
mod next;
mod node;
mod options;
mod progress;
mod reads;
mod refusal;
mod role;
mod snapshot;

pub use effects::{Effects, LogRead, LogSlice, Mark, Persist, ReadOutcome, ReadToken};
pub use entry::{Entry, HardState, Payload};
pub use members::{MEMBERS_MAX, Members, Tally, majority};
pub use message::{Append, Heartbeat, Message, RequestVote, Round, Vote};
pub use node::{Node, Restored};
pub use options::Options;
pub use progress::FollowerProgress;
pub use refusal::{MembersRefused, ProposeError, ReadRefused, TransferRefused};
pub use role::RoleName;
pub use snapshot::SnapshotMeta;
