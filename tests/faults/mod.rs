//! Fault injection, shared by several kinds of tests.

pub mod disk;
pub mod network;
pub mod process;
