//! The gRPC interface for clients.
//!
//! Protobuf ends here: a request is checked as a whole, converted to a domain value or refused, executed by
//! the [api](crate::api), and answered in its own form. Nothing here decides what a request means.
//!
//! A request passes, in this order:
//!
//! 1. [`listener`]: limits on streams and sizes, keepalive; [`gate`]: what arrives, is in progress and leaves is
//!    bounded, in number and in bytes; [`layers`] explain the transport's refusals;
//! 2. one of [`kv_service`], [`cluster_service`], [`maintenance_service`], whose handlers all do the same:
//!    decode, call the api, encode;
//! 3. [`wire`] for both conversions, [`status`](mod@status) for a refusal.
//!
//! What is missing: TLS, authentication, and compression.

pub mod admission;
pub mod arriving;
pub mod cluster_service;
pub mod encoded;
pub mod gate;
pub mod health;
pub mod kv_service;
pub mod layers;
pub mod leaving;
pub mod listener;
pub mod maintenance_service;
pub mod reflection;
pub mod starting;
pub mod status;
pub mod timeout;
pub mod wire;
