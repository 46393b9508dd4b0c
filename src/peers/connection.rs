//! How connections between peers are made, on both ends.

use crate::coalescing::{self, Coalescing};
use crate::peers::handshake::{self, HandshakeError};
use crate::peers::settings::PeerSettings;
use crate::proto::raft::raft_service_client::RaftServiceClient;
use http::Uri;
use hyper_util::rt::TokioIo;
use std::error::Error;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Server};
use tower::{BoxError, Service, ServiceExt as _};

/// The window of a connection. At 100 MB/s it lasts for a round trip of 160 ms.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// The window of one stream.
const STREAM_WINDOW: u32 = 8 << 20;
/// The largest frame: fewer, larger ones cost less.
const FRAME_BYTES: u32 = 256 << 10;
/// The most calls at once on one connection: a peer has one stream on it, or a few votes.
const CALLS_MAX: u32 = 64;

/// The largest headers of a call, decoded.
const HEADER_BYTES: u32 = 8 << 10;

/// An address to connect to. Its name is resolved again for each connection.
pub fn endpoint(url: &str, settings: &PeerSettings) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .connect_timeout(settings.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME_BYTES))
}

/// Connects, or says why not. Resolving the name counts, which the timeout of the endpoint leaves out.
pub async fn connect(endpoint: &Endpoint, settings: &PeerSettings) -> Result<Channel, String> {
    let connecting = endpoint.connect_with_connector(connector(settings));
    match tokio::time::timeout(settings.connect_timeout, connecting).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err(format!("no connection within {:?}", settings.connect_timeout)),
    }
}

/// Connects when there is something to send.
pub fn connect_lazy(endpoint: &Endpoint, settings: &PeerSettings) -> Channel {
    endpoint.connect_with_connector_lazy(connector(settings))
}

/// Makes the connections of a channel, with the handshake that a cluster with a secret begins them with.
fn connector(
    settings: &PeerSettings,
) -> impl Service<Uri, Response = TokioIo<Coalescing>, Error = BoxError, Future = impl Future<Output: Send> + Send>
+ Send
+ 'static {
    let (timeout, secret) = (settings.connect_timeout, settings.cluster_secret.clone());
    let connector = coalescing::connector(timeout);
    tower::service_fn(move |address: Uri| {
        let (connector, secret) = (connector.clone(), secret.clone());
        async move {
            let mut connection = connector.oneshot(address).await?.into_inner();
            if let Some(secret) = secret {
                let handshake = handshake::dial(&mut connection, &secret);
                tokio::time::timeout(timeout, handshake).await.map_err(|_| HandshakeError::Silent)??;
            }
            Ok::<_, BoxError>(TokioIo::new(connection))
        }
    })
}

/// The other end: a server for the peer listener, to which services are added.
pub fn server(settings: &PeerSettings) -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(settings.keepalive_interval))
        .http2_keepalive_timeout(Some(settings.keepalive_timeout))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(CALLS_MAX)
        .http2_max_header_list_size(HEADER_BYTES)
        // A peer's calls are few, and so are those that it gives up.
        .http2_max_pending_accept_reset_streams(Some(CALLS_MAX as usize))
        .http2_max_local_error_reset_streams(Some(CALLS_MAX as usize))
}

/// A client of a peer's `RaftService`.
pub fn client(channel: Channel, settings: &PeerSettings) -> RaftServiceClient<Channel> {
    RaftServiceClient::new(channel).max_decoding_message_size(settings.message_bytes)
}

/// Why a call failed, for people: the whole chain of causes, each once.
pub fn describe_status(status: &Status) -> String {
    let said = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    describe_chain(vec![said], status.source())
}

/// Why a connection failed, likewise.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    describe_chain(Vec::new(), Some(error))
}

fn describe_chain(mut parts: Vec<String>, mut cause: Option<&(dyn Error + 'static)>) -> String {
    while let Some(error) = cause {
        let part = error.to_string();
        if part == "dns error" {
            return "its name does not resolve yet".into();
        }
        // RFC 9113 §7, INADEQUATE_SECURITY: a node with a secret says so to one without.
        if part.contains("security properties do not meet minimum requirements") {
            return "it asks for the cluster's secret: start this node with the same --cluster-secret-file"
                .into();
        }
        if !parts.iter().any(|said| said.contains(&part)) {
            parts.push(part);
        }
        cause = error.source();
    }
    if parts.len() > 1 {
        // It adds nothing to its cause.
        parts.retain(|part| part != "transport error");
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn trouble_with(url: &str) -> String {
        describe(&endpoint(url, &PeerSettings::default()).unwrap().connect().await.unwrap_err())
    }

    #[tokio::test]
    async fn says_in_plain_words_why_a_peer_is_not_reached() {
        // Port 1 is refused, and the name is reserved never to exist (RFC 2606).
        let refused = trouble_with("http://127.0.0.1:1").await;
        assert!(refused.contains("refused") && !refused.contains("transport error"), "{refused}");
        assert_eq!(trouble_with("http://n3.invalid:2380").await, "its name does not resolve yet");
    }
}
