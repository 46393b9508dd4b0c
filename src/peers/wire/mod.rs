//! The peers' protocol, between the wire and the domain.
//!
//! On the way in everything is checked: [`Malformed`](malformed::Malformed) says which rule a message broke.
//! A peer that sends such a message is broken or of another version; its stream is closed, and no part of the
//! message goes further.

pub mod fault;
pub mod forward;
pub mod malformed;
pub mod raft;
pub mod status;
