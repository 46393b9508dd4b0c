//! The gRPC edge.

pub mod deadline;
pub mod error;
pub mod peer_calls;
pub mod proto;
pub mod reason;
pub mod wire;
