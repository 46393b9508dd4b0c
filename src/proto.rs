//! Code generated from `proto/`. Named only where it is converted: in `peers/`, `grpc/`, `client/`, and in
//! `bench/kontiki.rs`, which measures the server without the client library.
#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

/// The client API.
pub mod v1 {
    tonic::include_proto!("kontiki.v1");
}

/// The peers' API.
pub mod raft {
    tonic::include_proto!("kontiki.raft.v1");
}

/// The client API's descriptors with their comments, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
