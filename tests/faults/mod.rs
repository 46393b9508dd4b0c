//! What hurts a cluster: pieces that several kinds of tests use.

pub mod disk;
pub mod network;
pub mod process;
