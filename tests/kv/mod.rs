//! The replicated state machine, against a model that is too simple to be wrong.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod codec;
mod compaction;
mod compatibility;
mod crash;
mod damage;
mod determinism;
mod export;
mod generate;
mod history;
mod keys;
mod model;
mod replies;
pub mod support;
mod txn;
mod work;
