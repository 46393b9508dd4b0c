//! Seeds that once found a bug. What a seed does changes with the world, so that the bug is planted too
//! (`tests/calibration/plants/`). The other findings in tests/README.md ("What it found") are kept only as
//! scripts and plants: their seeds do something else since the worlds are drawn differently.

use crate::sim::runner::{RunOptions, run_seed};

/// Each seed with what it found.
const SEEDS: &[(u64, &str)] = &[
    (
        1881,
        "damage to a file of the state took records with it, and the node started with what was left: \
         the meta record did not say which records there are (planted as InventoryNotChecked)",
    ),
    (
        18555,
        "a leader's log stayed full forever: a snapshot for a follower held back its compaction, which was not \
         tried again when the follower had it, since nothing else could happen",
    ),
];

#[test]
fn old_bugs_stay_away() {
    for (seed, bug) in SEEDS {
        println!("{seed}: {bug}");
        run_seed(*seed, &RunOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
    }
}
