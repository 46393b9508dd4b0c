//! The gRPC edge.
//!
//! Here protobuf ends: what arrives is checked as a whole, converted to a value
//! of the domain or refused, executed, and answered in the form in which it was
//! asked. Nothing below this module knows a protobuf type, and nothing in it
//! decides what a write means.
//!
//! A request of a client passes, in this order:
//!
//! 1. [`listener`]: limits of streams and sizes, keepalive, [`layers`] that
//!    refuse one request too many and explain what the transport refuses;
//! 2. one of [`kv_service`], [`cluster_service`], [`maintenance_service`], which
//!    read its [`deadline`] and convert it by [`wire`];
//! 3. for a write [`forward`]: the leader executes it, whichever node was asked;
//!    for a read [`read_path`]: a view that is as fresh as asked, on this node;
//! 4. [`wire`] again for the answer, or [`error`] for a refusal by one of the
//!    [`Reason`](crate::reason::Reason)s.
//!
//! Both wait for an election ([`leader`]) rather than bother the client with
//! it, but never repeat what may have been applied.
//!
//! What is missing, and what that costs: there is no authentication and no TLS
//! yet, so that listeners belong on trusted networks; there are no sessions, so
//! that a client cannot safely repeat a write whose outcome is unknown; and no
//! compression.

pub mod answer_stream;
pub mod cluster_service;
pub mod context;
pub mod deadline;
pub mod error;
pub mod forward;
pub mod health;
pub mod heavy;
pub mod kv_service;
pub mod layers;
pub mod leader;
pub mod listener;
pub mod maintenance_service;
pub mod members;
pub mod node_status;
pub mod paging;
pub mod read_path;
pub mod reflection;
pub mod scan;
pub mod starting;
pub mod wire;
