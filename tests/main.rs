//! The integration tests: one binary, a folder per subject.

mod cluster;
mod kv;
mod peers;
mod raft;
mod storage;
mod tidy;
