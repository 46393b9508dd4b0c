//! The integration tests: one binary, a folder per subject.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attack;
mod bench;
mod calibration;
mod chaos;
mod cli;
mod client;
mod cluster;
mod config;
mod connections;
mod fake;
mod faults;
mod grpc;
mod kv;
mod model;
mod peers;
mod power;
mod raft;
mod sim;
mod storage;
mod tidy;
mod verify;
