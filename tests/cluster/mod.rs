//! The whole: real processes, real gRPC, real disks, real kills.

mod damage;
mod durability;
mod failover;
mod harness;
mod service;
mod snapshots;
mod writer;
