//! Faults of a process: it is stopped for a while, and its clock jumps. And what it takes of the machine.

pub mod clock;
pub mod signal;
pub mod usage;
