//! The consensus core, tested by readable scripts, by properties and at random.
//!
//! * [`world`]: real nodes in a world that a test controls: every message, every
//!   write, every tick. [`disk`] and [`checker`] belong to it.
//! * [`runner`]: the language of the scripts in `scripts/`. Each begins with what it shows.
//! * [`random`]: the same world, driven by a seed.
//! * [`fingerprints`]: what the model checker relies on.
//! * [`quorum`]: the arithmetic of majorities against brute force.

mod checker;
pub mod disk;
mod fingerprints;
mod quorum;
pub mod random;
mod runner;
pub mod store;
pub mod words;
mod world;
