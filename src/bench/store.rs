//! The store under load, whichever API it speaks: the few calls that a benchmark needs.

use crate::bench::args::Api;
use crate::bench::{etcd, kontiki};
use bytes::Bytes;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// The stub of one client. Clones of a channel share its connection.
#[derive(Clone)]
pub enum Store {
    /// Over Kontiki's own API.
    Kontiki(kontiki::Stub),
    /// Over etcd's v3 API.
    Etcd(etcd::Stub),
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The revision of the store.
    pub revision: i64,
    /// The key's newest version.
    pub held: Option<Held>,
}

/// A version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it was written.
    pub revision: i64,
    /// Its value.
    pub value: Bytes,
}

impl Store {
    /// A client of its own, each of whose calls may take so long.
    pub fn new(api: Api, channel: Channel, timeout: Duration) -> Self {
        let deadline = Deadline::new(timeout);
        match api {
            Api::Native => Self::Kontiki(kontiki::Stub::new(channel, deadline)),
            Api::Etcd => Self::Etcd(etcd::Stub::new(channel, deadline)),
        }
    }

    /// An empty call. etcd's API has none, and the plan asks for none.
    pub async fn echo(&mut self) -> Result<(), Status> {
        match self {
            Self::Kontiki(stub) => stub.echo().await,
            Self::Etcd(_) => Err(Status::unimplemented("etcd's API has no empty call")),
        }
    }

    /// Reads a key: linearizable, or what the node has at hand.
    pub async fn get(&mut self, key: Bytes, local: bool) -> Result<Read, Status> {
        match self {
            Self::Kontiki(stub) => stub.get(key, local).await,
            Self::Etcd(stub) => stub.get(key, local).await,
        }
    }

    /// Writes a key. Answers the revision.
    pub async fn put(&mut self, key: Bytes, value: Bytes) -> Result<i64, Status> {
        match self {
            Self::Kontiki(stub) => stub.put(key, value).await,
            Self::Etcd(stub) => stub.put(key, value).await,
        }
    }

    /// Writes different keys in one transaction. Answers its revision.
    pub async fn put_many(&mut self, pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Result<i64, Status> {
        match self {
            Self::Kontiki(stub) => stub.put_many(pairs).await,
            Self::Etcd(stub) => stub.put_many(pairs).await,
        }
    }

    /// Gives up the history before a revision.
    pub async fn compact(&mut self, revision: i64) -> Result<(), Status> {
        match self {
            Self::Kontiki(stub) => stub.compact(revision).await,
            Self::Etcd(stub) => stub.compact(revision).await,
        }
    }
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
