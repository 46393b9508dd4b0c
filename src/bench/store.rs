//! The store under load, whichever API it speaks: the few calls that a benchmark needs.

use crate::bench::args::Api;
use crate::bench::call::{Deadline, Read};
use crate::bench::{etcd, kontiki};
use bytes::Bytes;
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

/// The stub of one client. Clones of a channel share its connection.
#[derive(Clone)]
pub enum Store {
    /// Over Kontiki's own API.
    Kontiki(kontiki::Stub),
    /// Over etcd's v3 API.
    Etcd(etcd::Stub),
}

impl Store {
    /// A client whose calls may take `timeout` each.
    pub fn new(api: Api, channel: Channel, timeout: Duration) -> Self {
        let deadline = Deadline::new(timeout);
        match api {
            Api::Native => Self::Kontiki(kontiki::Stub::new(channel, deadline)),
            Api::Etcd => Self::Etcd(etcd::Stub::new(channel, deadline)),
        }
    }

    /// An empty call. etcd's API has none, so the plan never asks for one.
    pub async fn echo(&mut self) -> Result<(), Status> {
        match self {
            Self::Kontiki(stub) => stub.echo().await,
            Self::Etcd(_) => Err(Status::unimplemented("etcd's API has no empty call")),
        }
    }

    /// Reads a key: linearizable, or local: what the asked node has.
    pub async fn get(&mut self, key: Bytes, local: bool) -> Result<Read, Status> {
        match self {
            Self::Kontiki(stub) => stub.get(key, local).await,
            Self::Etcd(stub) => stub.get(key, local).await,
        }
    }

    /// Writes a key; returns the revision.
    pub async fn put(&mut self, key: Bytes, value: Bytes) -> Result<i64, Status> {
        match self {
            Self::Kontiki(stub) => stub.put(key, value).await,
            Self::Etcd(stub) => stub.put(key, value).await,
        }
    }

    /// Writes different keys in one transaction; returns its revision.
    pub async fn put_many(&mut self, pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Result<i64, Status> {
        match self {
            Self::Kontiki(stub) => stub.put_many(pairs).await,
            Self::Etcd(stub) => stub.put_many(pairs).await,
        }
    }

    /// Compacts the history below a revision.
    pub async fn compact(&mut self, revision: i64) -> Result<(), Status> {
        match self {
            Self::Kontiki(stub) => stub.compact(revision).await,
            Self::Etcd(stub) => stub.compact(revision).await,
        }
    }
}
