//! The integration tests: one binary, a folder per subject.

mod cluster;
mod kv;
mod peers;
mod rpc;
mod storage;
mod tidy;
