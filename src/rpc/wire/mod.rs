//! Between the wire and the domain: one file per protocol.
//!
//! Inward everything is checked, since what arrives is the world's and not
//! ours: a message converts to a value that the layers below may trust, or is
//! refused with a sentence. Outward nothing can fail.

pub mod raft;
