//! Whole clusters in one thread, from one number.
//!
//! A seed decides everything: how large the cluster is, what its clients do, what is lost, late, torn, cut
//! off, wiped or slow, and in which order all of it happens. The nodes are the real ones (consensus core,
//! loop, log writer, applier, state machine, log format and loader, snapshots), taken apart so that no
//! thread, clock, socket or disk decides anything. After every step the [`ledger`] checks the invariants;
//! when the faults are over the cluster must work again; and the history of all clients must be linearizable.
//!
//! ```text
//! swarm ─▶ world ─┬─ processes ─▶ server: disk + the real replica     ledger looks at each step
//!                 ├─ carriage, transfers ─▶ network
//!                 ├─ clients ─▶ front: the real routing ─▶ replica     history ─▶ kontiki::verify
//!                 └─ nemesis, strangers
//! ```
//!
//! * `make sim SEEDS=3000` runs many seeds on all cores.
//! * `make sim SEED=7` replays one exactly and prints its trace; `STEPS=5000` ends its
//!   faults after this many steps.
//!
//! What is simulated instead of run: the wire between nodes (messages, questions and answers travel
//! as values, on lossy links). How requests find their leader is the real code ([`front`]), and so
//! is what of the peers' handshake must keep strangers out ([`strangers`]).

mod accounts;
mod carriage;
mod clients;
mod clock;
mod disk;
mod front;
mod history;
mod ledger;
mod nemesis;
mod network;
mod newer_entry;
mod phases;
mod processes;
mod random;
mod regressions;
mod report;
mod runner;
mod server;
mod spy;
mod strangers;
mod swarm;
mod trace;
mod transfers;
mod wire;
mod world;

pub use runner::{Failure, RunOptions, quietly, run_seed};
