//! The integration tests: one binary, a folder per subject.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod cli;
mod client;
mod cluster;
mod config;
mod kv;
mod peers;
mod raft;
mod rpc;
mod storage;
mod tidy;
