//! Chaos: real server processes under faults from outside, while clients use them.
//!
//! ```text
//! make chaos MINUTES=60 [SEED=n] [NODES=3|5]
//! ```
//!
//! A run has five phases. The nodes start, each in its own network namespace if possible, each reaching each
//! other through a separate proxy, with wall clocks that are weeks apart. Clients read, write and swap a few
//! registers, every value once. Meanwhile the nemesis carries out a plan that follows from the seed. Then
//! everything is healed, and the cluster must converge within a deadline and have every acknowledged write.
//! Finally the history of all operations, including the final reads, must be linearizable, and the run must
//! have done what it was for.
//!
//! Nothing here can be repeated exactly: the same seed gives the same plan, not the same
//! schedule of real processes. So everything that a failure could need is kept: history,
//! picture, logs, report.
//!
//! ```text
//! plan         what will be done, from a seed
//! arena, node  the cluster, and what it stands on
//! nemesis      does it
//! workload     the clients
//! recorder     their operations and answers
//! gaps         how long no write was acknowledged
//! convergence  what must hold afterwards
//! report       a summary of the run
//! trial        the whole run
//! ```

mod arena;
mod convergence;
mod gaps;
mod nemesis;
mod node;
mod plan;
pub mod recorder;
mod report;
mod trial;
mod workload;
