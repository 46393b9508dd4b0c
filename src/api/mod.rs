//! What a node does with requests, whichever door they come in by.

pub mod peer_calls;
