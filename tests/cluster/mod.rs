//! Whole clusters: real processes, real gRPC, real disks, real kills.

mod connections;
mod damage;
mod durability;
mod failover;
mod forwarding;
pub mod harness;
mod members;
mod memory;
mod service;
mod snapshots;
mod volume;
pub mod writer;
