//! Two or more ends of the peers' protocol on loopback, with a recorder in place of the replica.
#![allow(clippy::unwrap_used, reason = "here a failed unwrap is a failed test")]

mod append;
mod forward;
mod identity;
mod introduce;
mod members;
mod node;
mod secret;
mod snapshot;
mod unary;
mod wire;
