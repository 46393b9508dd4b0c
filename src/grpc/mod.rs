//! The clients' door: gRPC.
//!
//! Here protobuf ends: what arrives is checked as a whole, converted to a value
//! of the domain or refused, executed by the [api](crate::api), and answered in
//! the form in which it was asked. Nothing here decides what a request means.
//!
//! A request passes, in this order:
//!
//! 1. [`listener`]: limits of streams and sizes, keepalive, [`layers`] that
//!    refuse one request too many and explain what the transport refuses;
//! 2. one of [`kv_service`], [`cluster_service`], [`maintenance_service`], whose
//!    handlers are all alike: decode, call the api, encode;
//! 3. [`wire`] for both conversions, [`status`](mod@status) for a refusal.
//!
//! What is missing: TLS, authentication, and compression.

pub mod cluster_service;
pub mod encoded;
pub mod health;
pub mod kv_service;
pub mod layers;
pub mod listener;
pub mod maintenance_service;
pub mod reflection;
pub mod starting;
pub mod status;
pub mod timeout;
pub mod wire;
