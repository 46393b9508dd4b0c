//! The client library, against servers that answer as a script says.

pub(crate) mod fake;
mod layers;
mod retries;
mod scans;
