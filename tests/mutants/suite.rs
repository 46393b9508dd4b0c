//! The core's own integration tests, as they are in the program's suite.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raft;
