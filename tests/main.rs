//! The integration tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cli;
mod client;
mod config;
