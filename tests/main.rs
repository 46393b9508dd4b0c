//! The integration tests.

mod peers;
