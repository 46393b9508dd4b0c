//! Each method of the peer port takes messages of its own size, and none larger than it needs.

use crate::peers::settings::PeerSettings;
use crate::peers::snapshot_sender::CHUNK_BYTES;
use crate::proto::raft::raft_service_server::RaftServiceServer;
use http::Request;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// Who sends, with all its URLs, and some numbers.
const SMALL_BYTES: usize = 8 << 10;
/// A chunk; the header names all members.
const SNAPSHOT_BYTES: usize = CHUNK_BYTES + (256 << 10);

/// A service once for each size of messages.
#[derive(Clone, Debug)]
pub struct BySize<S> {
    small: S,
    snapshots: S,
    large: S,
}

impl<T> BySize<RaftServiceServer<T>> {
    /// Of a service that has no limit yet.
    pub fn new(service: RaftServiceServer<T>, settings: &PeerSettings) -> Self
    where
        RaftServiceServer<T>: Clone,
    {
        Self {
            small: service.clone().max_decoding_message_size(SMALL_BYTES),
            snapshots: service.clone().max_decoding_message_size(SNAPSHOT_BYTES),
            large: service.max_decoding_message_size(settings.message_bytes),
        }
    }
}

impl<S> BySize<S> {
    fn of(&mut self, path: &str) -> &mut S {
        match path.rsplit('/').next() {
            // Both carry clients' commands.
            Some("AppendEntries" | "Forward") => &mut self.large,
            Some("InstallSnapshot") => &mut self.snapshots,
            _ => &mut self.small,
        }
    }
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for BySize<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Generated services are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.of(&request.uri().path().to_owned()).call(request)
    }
}

impl<S: NamedService> NamedService for BySize<S> {
    const NAME: &'static str = S::NAME;
}
