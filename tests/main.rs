//! The integration tests.

mod kv;
