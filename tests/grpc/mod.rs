//! The services for clients: what is accepted, what is refused, where it is executed.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod conversion;
mod forwarding;
mod health;
pub mod hostile;
mod keys;
mod memory;
mod node;
mod ranges;
mod refusals;
mod starting;
