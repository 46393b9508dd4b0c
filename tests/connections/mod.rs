//! What comes to a listener before it has said a word: it costs a bounded number of places, a bounded time, and
//! nobody else anything.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod guarded;
