//! Is a history of reads, writes and compare-and-swaps linearizable?
//!
//! A history says of each operation when it was called, when it answered and
//! what; it is linearizable if there is an order of the operations, each
//! somewhere between its call and its answer, in which every answer is the one
//! that a plain map would have given (Herlihy and Wing 1990).
//!
//! Keys are registers that know nothing of each other, so each key is judged
//! alone (locality, ibid. §3.1). A key whose answers carry revisions has its
//! order written on it: it only has to be checked (`revisions`). For all others
//! the order is searched for (`search`). What has no order is cut down to the
//! few operations that contradict each other (`shrink`) and can be drawn
//! ([`picture`]).
//!
//! The module knows nothing of the rest of the program: a checker that shared
//! code with what it checks could share its mistakes.
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
//! violation  in words
//! picture    as a drawing
//! check      the judgement over a whole history
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
pub use history::{Answer, Call, History, Operation, Outcome};
pub use limits::Limits;
pub use lines::{Malformed, read, write};
pub use value::Value;
pub use violation::{Kind, Violation};
