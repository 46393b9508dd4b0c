//! The integration tests: one binary, a folder per subject.

mod cluster;
mod kv;
mod storage;
mod tidy;
