//! The gRPC edge.

pub mod peer_calls;
pub mod peers;
pub mod proto;
pub mod raft_service;
pub mod wire;
