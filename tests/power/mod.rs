//! Power cuts: afterwards everything promised is there, and nothing that was never written.
//!
//! * `storage`: a data directory alone, in a process of its own that is killed as its disk loses power. Fast:
//!   this is where the many cuts come from (`KONTIKI_POWER_CUTS=n`).
//! * `cluster`: three real nodes, each with a disk of its own. `hurt`: the same, and disks that fail an fsync,
//!   hang, or are full. `install`: cuts while a snapshot comes in.
//!
//! A directory must open within [`OPEN_LIMIT`]. Wall-clock time counts where one test runs at a time,
//! optimised (`make power`, `KONTIKI_POWER_CUTS`); next to other tests and builds only CPU time counts, since
//! a process that waits for a processor says nothing about the opening.

mod check;
mod cluster;
mod hurt;
mod install;
mod model;
mod nodes;
mod storage;
mod window;
mod worker;

use std::time::Duration;

const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// See the module.
fn wall_time_counts() -> bool {
    std::env::var_os("KONTIKI_POWER_CUTS").is_some()
}

/// Whether what takes long is tested too.
fn takes_its_time() -> bool {
    ["KONTIKI_POWER_CUTS", "KONTIKI_TEST_ALL"].iter().any(|name| std::env::var_os(name).is_some())
}

/// How many cuts each kind of test makes; more by hand than in CI.
fn cuts(ordinary: u64) -> u64 {
    match std::env::var("KONTIKI_POWER_CUTS") {
        Ok(text) => text.parse().expect("KONTIKI_POWER_CUTS is a number"),
        Err(_) => ordinary,
    }
}

/// Where the random numbers begin; printed with every failure.
fn first_seed() -> u64 {
    match std::env::var("KONTIKI_POWER_SEED") {
        Ok(text) => text.parse().expect("KONTIKI_POWER_SEED is a number"),
        Err(_) => 1,
    }
}
