//! A client that sends what it likes, as slowly as it likes, and reads no more than it wants.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub struct Hostile {
    client: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A request that was begun: its answer, and what sends the rest.
pub type Begun = (ResponseFuture, SendStream<Bytes>);

impl Hostile {
    /// Connects, and takes so many bytes of an answer before it must say that it has room for more.
    pub async fn connect(address: SocketAddr, window: u32) -> Self {
        Self::try_connect(address, window).await.unwrap()
    }

    /// None if it is refused.
    pub async fn try_connect(address: SocketAddr, window: u32) -> Option<Self> {
        let connection = TcpStream::connect(address).await.ok()?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_max_send_streams(1024).max_send_buffer_size(1 << 30);
        let (client, connection) = builder.handshake(connection).await.ok()?;
        Some(Self { client, connection: tokio::spawn(connection) })
    }

    /// Sends the headers of a request.
    pub async fn begin(&mut self, method: &str) -> Begun {
        self.try_begin(method).await.unwrap()
    }

    /// None if the connection has ended.
    pub async fn try_begin(&mut self, method: &str) -> Option<Begun> {
        std::future::poll_fn(|context| self.client.poll_ready(context)).await.ok()?;
        let request = http::Request::post(format!("http://n1/kontiki.v1.{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        self.client.send_request(request, false).ok()
    }

    /// Sends a whole request.
    pub async fn ask(&mut self, method: &str, message: &Bytes) -> ResponseFuture {
        let (answer, mut body) = self.begin(method).await;
        body.send_data(message.clone(), true).unwrap();
        answer
    }

    /// Sends a request but for its last byte.
    pub async fn ask_without_end(&mut self, method: &str, message: &Bytes) -> Begun {
        let (answer, mut body) = self.begin(method).await;
        body.send_data(message.slice(..message.len() - 1), false).unwrap();
        (answer, body)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A message as gRPC frames it.
pub fn framed(message: &impl prost::Message) -> Bytes {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
    framed.extend(message.encode_to_vec());
    framed.into()
}

/// The code of a refusal, if an answer is one.
pub fn refusal(answer: &http::Response<RecvStream>) -> Option<&str> {
    answer.headers().get("grpc-status").map(|status| status.to_str().unwrap())
}
