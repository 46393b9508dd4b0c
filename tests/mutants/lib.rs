//! The consensus core, cut out of the program for mutation testing (see README.md beside this file).

pub mod raft;
pub mod types;
