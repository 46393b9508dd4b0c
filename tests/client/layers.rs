//! Which layer failed, with real sockets.

use crate::fake::closed_port;
use kontiki::client::{Client, Error, Failure, Get, Layer, Options, Put};
use kontiki::reason::Outcome;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::transport::Server;

fn client(url: &str) -> Client {
    let options = Options { timeout: Duration::from_millis(1500), attempts: 2, ..Options::default() };
    Client::connect(&[url], options).unwrap()
}

async fn get(url: &str) -> Error {
    client(url).get(Get::new("k")).await.unwrap_err()
}

/// A server that answers whatever comes with `answer`, and hangs up.
async fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut heard = [0; 1024];
            let _ = socket.read(&mut heard).await;
            let _ = socket.write_all(answer).await;
        }
    });
    url
}

/// A service of tonic's that is not ours.
#[derive(Clone)]
enum Odd {
    /// HTTP/2, but not gRPC: such as a proxy in between.
    NotFound,
    /// Its handlers never answer.
    Silent,
}

impl tonic::server::NamedService for Odd {
    const NAME: &'static str = "kontiki.v1.KvService";
}

impl tonic::codegen::Service<http::Request<Body>> for Odd {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        match self {
            Self::NotFound => {
                Box::pin(async { Ok(http::Response::builder().status(404).body(Body::empty()).unwrap()) })
            }
            Self::Silent => Box::pin(std::future::pending()),
        }
    }
}

async fn odd(server: Server, service: Odd) -> String {
    let mut server = server;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    url
}

#[tokio::test]
async fn a_closed_port_is_tcp() {
    let error = get(&closed_port().await).await;
    assert_eq!(error.layer(), Layer::Tcp);
    assert!(matches!(*error.failure, Failure::Tcp { kind: ErrorKind::ConnectionRefused, .. }), "{error:?}");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_dns() {
    let error = get("http://no-such-host.invalid:2379").await;
    // A resolver that cannot be reached may take longer than the connection is given.
    let late = matches!(*error.failure, Failure::Tcp { kind: ErrorKind::TimedOut, .. });
    assert!(error.layer() == Layer::Dns || late, "{error:?}");
}

#[tokio::test]
async fn another_protocol_is_grpc() {
    let url = answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let error = get(&url).await;
    assert_eq!(error.layer(), Layer::Grpc);
    assert!(error.to_string().contains("does not speak gRPC"), "{error}");
    // A write did not follow its greeting.
    let error = client(&url).put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!((error.layer(), error.outcome()), (Layer::Grpc, Some(Outcome::NotApplied)), "{error}");
}

/// Recognized by the words of tonic's client.
#[tokio::test]
async fn http_without_grpc_is_told_as_such() {
    let error = get(&odd(Server::builder(), Odd::NotFound).await).await;
    assert!(
        matches!(&*error.failure, Failure::NotGrpc { message, .. } if message.contains("404")),
        "{error:?}"
    );
}

/// Recognized by the words of tonic's server.
#[tokio::test]
async fn the_end_of_the_servers_patience_is_a_timeout() {
    let server = Server::builder().timeout(Duration::from_millis(20));
    let error = client(&odd(server, Odd::Silent).await).put(Put::new("k", "v")).await.unwrap_err();
    let Failure::Timeout { after, outcome } = *error.failure else { panic!("{error:?}") };
    assert_eq!(outcome, Outcome::Unknown);
    assert!(after < Duration::from_millis(1500), "the client's own clock ended it: {after:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_grpc() {
    let error = get(&answering(b"").await).await;
    assert_eq!(error.layer(), Layer::Grpc, "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = get(&format!("http://{}", listener.local_addr().unwrap())).await;
    assert!(matches!(*error.failure, Failure::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_is_refused_before_anything_is_sent() {
    let error = Client::connect(&["https://127.0.0.1:2379"], Options::default()).unwrap_err();
    assert_eq!(error.layer(), Layer::Tls);
    assert!(error.to_string().contains("does not have yet"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_is_usage() {
    for endpoints in [vec![], vec![""], vec!["n1:x"], vec!["ftp://n1"]] {
        let error = Client::connect(&endpoints, Options::default()).unwrap_err();
        assert_eq!(error.layer(), Layer::Usage, "{endpoints:?}");
    }
}
