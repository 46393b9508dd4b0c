//! Kontiki: a distributed key-value store.
//!
//! A folder imports only folders below it:
//!
//! ```text
//! cli ─▶ server ─▶ grpc, peers ─▶ api ─▶ replica ─▶ storage ─▶ machine ─▶ raft, kv ─▶ types, settings, reason, proto
//!  ├───▶ client ─▶ proto, reason, types
//!  ├───▶ bench, dev: programs of their own behind a command
//!  └───▶ verify (knows nothing of the others)
//! ```

pub mod address;
pub mod api;
pub mod bench;
pub mod cli;
pub mod client;
pub mod config;
pub mod dev;
pub mod grpc;
pub mod kv;
pub mod machine;
pub mod peers;
pub mod proto;
pub mod raft;
pub mod reason;
pub mod replica;
pub mod server;
pub mod settings;
pub mod storage;
pub mod telemetry;
pub mod types;
pub mod units;
pub mod verify;
