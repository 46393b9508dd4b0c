//! What both APIs have in common: what a read finds, and deadlines.

use bytes::Bytes;
use std::time::Duration;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub revision: i64,
    /// The key's newest version.
    pub newest: Option<VersionedValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedValue {
    pub revision: i64,
    pub value: Bytes,
}

/// The `grpc-timeout` of each request, spelled once.
#[derive(Clone, Debug)]
pub struct Deadline(MetadataValue<Ascii>);

impl Deadline {
    /// In milliseconds: `grpc-timeout` allows eight digits, which is a day.
    pub fn new(timeout: Duration) -> Self {
        let milliseconds = timeout.as_millis().clamp(1, 99_999_999);
        Self(format!("{milliseconds}m").parse().expect("digits and a letter are ASCII"))
    }

    /// A request with this deadline.
    pub fn on<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("grpc-timeout", self.0.clone());
        request
    }
}
