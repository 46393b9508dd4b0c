//! Kontiki: a distributed key-value store.
//!
//! A folder imports only folders below it:
//!
//! ```text
//! cli ─▶ server ─▶ rpc ─▶ replica ─▶ storage ─▶ raft, kv ─▶ types, settings
//!  ├───▶ client ─▶ (generated code in rpc::proto)
//!  ├───▶ bench, dev: programs of their own behind a command
//!  └───▶ verify (knows nothing of the others)
//! ```

pub mod address;
pub mod bench;
pub mod cli;
pub mod client;
pub mod config;
pub mod dev;
pub mod kv;
pub mod planted;
pub mod raft;
pub mod replica;
pub mod rpc;
pub mod server;
pub mod settings;
pub mod storage;
pub mod telemetry;
pub mod types;
pub mod verify;
