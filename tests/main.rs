//! The integration tests.

mod bench;
