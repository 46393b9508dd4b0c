//! Is a history of reads, writes and compare-and-swaps linearizable?
//!
//! A history says of each operation when it was called, when it answered and
//! what; it is linearizable if there is an order of the operations, each
//! somewhere between its call and its answer, in which every answer is the one
//! that a plain map would have given (Herlihy and Wing 1990).
//!
//! Keys are independent registers, so each key is checked alone (locality, ibid. §3.1). A key whose answers
//! carry revisions states its own order, which only has to be checked (`revisions`). For all others the order
//! is searched for (`search`). A history without an order is cut down to the few operations that contradict
//! each other (`shrink`), and these can be drawn ([`picture`]).
//!
//! The module knows nothing of the rest of the program: a checker that shared code with what it checks could
//! share its mistakes.
//!
//! ```text
//! value      a value of a key, or its absence
//! history    operations: what was called and what came of it
//! lines      histories as JSON lines
//! register   the model: one key as a list of small numbers
//! limits     what a search may cost
//! search     memoised Wing–Gong–Lowe search for an order
//! revisions  the order that the revisions claim
//! shrink     the fewest operations that still contradict each other
//! violation  a contradiction in words
//! picture    a contradiction as a drawing
//! check      the verdict on a whole history
//! ```

mod check;
mod history;
mod limits;
mod lines;
pub mod picture;
mod register;
mod revisions;
mod search;
mod shrink;
mod value;
mod violation;

pub use check::{Verdict, check};
pub use history::{Answer, Call, Completion, History, Operation};
pub use limits::Limits;
pub use lines::{Malformed, read, write};
pub use value::Value;
pub use violation::{Kind, Violation};
