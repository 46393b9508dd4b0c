//! Kontiki: a distributed key-value store.
//!
//! A folder imports only folders below it: `DESIGN.md` has the picture, and `tests/tidy/` checks it.
//!
//! Everything is public because the tests are a crate of their own. Other programs should need only [`client`] and
//! [`verify`], and the types that these speak of.

#[warn(missing_docs)]
pub mod address;
pub mod api;
pub mod bench;
pub mod budget;
pub mod cli;
pub mod client;
pub mod coalescing;
pub mod codec;
pub mod config;
pub mod connections;
pub mod dev;
pub mod grpc;
pub mod kv;
pub mod machine;
pub mod member;
pub mod peers;
pub mod proto;
pub mod raft;
#[warn(missing_docs)]
pub mod reason;
pub mod replica;
pub mod server;
pub mod settings;
pub mod storage;
pub mod telemetry;
#[warn(missing_docs)]
pub mod types;
pub mod units;
#[warn(missing_docs)]
pub mod verify;
