//! The client library, against servers that answer as a script says.

mod layers;
mod retries;
mod scans;
