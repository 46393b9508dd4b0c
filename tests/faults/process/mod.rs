//! Faults of a process: it is stopped for a while, and its clock jumps.

pub mod clock;
pub mod signal;
