//! Clients that do not finish their requests, or do not read their answers: they hold a bounded number of bytes
//! for a bounded time, and nobody else waits for them.

use crate::grpc::node::{Node, get, put};
use crate::grpc::refusals::info;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use kontiki::api::context::Bounds;
use kontiki::budget::{Account, Patience};
use kontiki::proto::v1;
use kontiki::settings::Limits;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const MIB: usize = 1 << 20;
const FOREVER: Patience = Patience { crowded: Duration::MAX, longest: Duration::MAX };

/// A client that sends what it likes. Its task ends with the connection.
async fn client(node: &Node, window: u32) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let connection = TcpStream::connect(node.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window);
    let (client, connection) = builder.handshake::<_, Bytes>(connection).await.unwrap();
    (client, tokio::spawn(connection))
}

async fn begin(client: &mut SendRequest<Bytes>, method: &str) -> (ResponseFuture, SendStream<Bytes>) {
    std::future::poll_fn(|context| client.poll_ready(context)).await.unwrap();
    let request = http::Request::post(format!("http://n1/kontiki.v1.KvService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    client.send_request(request, false).unwrap()
}

/// A message as gRPC frames it.
fn framed(message: &impl prost::Message) -> Bytes {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
    framed.extend(message.encode_to_vec());
    framed.into()
}

fn status(response: &http::Response<RecvStream>) -> Option<&str> {
    response.headers().get("grpc-status").map(|status| status.to_str().unwrap())
}

/// `RESOURCE_EXHAUSTED`
const EXHAUSTED: Option<&str> = Some("8");

#[tokio::test]
async fn puts_without_an_end_hold_no_more_than_their_budget() {
    let limits = Limits { request_memory_bytes: 6 * MIB, ..Limits::default() };
    let node = Node::alone_with(limits).await;
    let (mut client, _connection) = client(&node, 65_535).await;
    let mut unfinished = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..40 {
        let (answer, mut body) = begin(&mut client, "Put").await;
        // A message of a MiB is promised and nearly sent.
        let message = framed(&v1::EchoRequest { payload: vec![7; MIB].into() });
        body.send_data(message.slice(..MIB - 1), false).unwrap();
        unfinished.push(body);
        answers.push(tokio::spawn(answer));
    }
    let requests = node.api.bounds.requests.budget();
    let mut refused = 0;
    let mut most = 0;
    while refused < 30 {
        most = most.max(requests.held());
        refused = 0;
        for answer in &answers {
            refused += usize::from(answer.is_finished());
        }
        tokio::task::yield_now().await;
    }
    assert!(most <= 6 * MIB, "{most} bytes");
    for answer in answers.into_iter().filter(JoinHandle::is_finished) {
        assert_eq!(status(&answer.await.unwrap().unwrap()), EXHAUSTED);
    }
    // Nobody else waits for them for long.
    while node.kv().put(put("k", "v")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn puts_that_are_only_headers_take_nobodys_place() {
    let node = Node::alone_with(Limits { requests_in_flight: 4, ..Limits::default() }).await;
    let (mut client, _connection) = client(&node, 65_535).await;
    let mut unfinished = Vec::new();
    for _ in 0..100 {
        unfinished.push(begin(&mut client, "Put").await);
    }
    while node.api.bounds.requests.waiting_count() < 100 {
        tokio::task::yield_now().await;
    }
    node.put("k", "v").await;
    drop(unfinished);
    while node.api.bounds.requests.budget().held() > 0 {
        tokio::task::yield_now().await;
    }
}

/// A node with a value of a MiB, and the bytes of a request for it.
async fn with_large_value(bounds: Bounds) -> (Node, Bytes) {
    let node = Node::alone_within(Limits::default(), bounds).await;
    node.put("k", &"x".repeat(MIB)).await;
    (node, framed(&get("k")))
}

fn bounds(patience: Patience) -> Bounds {
    Bounds { answers: Account::new(4 * MIB, patience), ..Bounds::default() }
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_no_more_than_their_budget() {
    let (node, question) = with_large_value(bounds(FOREVER)).await;
    let (mut client, connection) = client(&node, 0).await;
    let mut kept = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let (answer, mut body) = begin(&mut client, "Get").await;
        body.send_data(question.clone(), true).unwrap();
        let answer = answer.await.unwrap();
        refused += usize::from(status(&answer) == EXHAUSTED);
        kept.push(answer);
        assert!(node.api.bounds.answers.budget().held() < 6 * MIB);
    }
    assert!(refused >= 14, "{refused}");
    // Refused at once, and in words, is everybody else.
    let refusal = node.kv().put(put("k", "v")).await.unwrap_err();
    assert_eq!(&*info(&refusal).reason, "OVERLOADED");
    drop((kept, client));
    connection.abort();
    while node.api.bounds.answers.budget().held() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.put("k", "v").await;
}

#[tokio::test]
async fn who_does_not_read_is_disconnected() {
    let (node, question) = with_large_value(bounds(Patience { crowded: Duration::ZERO, ..FOREVER })).await;
    let (mut client, connection) = client(&node, 0).await;
    let (answer, mut body) = begin(&mut client, "Get").await;
    body.send_data(question, true).unwrap();
    let _answer = answer.await.unwrap();
    // Others need all of it.
    node.api.bounds.answers.make_room(4 * MIB);
    // A GOAWAY or a reset, as the kernel has it.
    let _ = connection.await.unwrap();
    while node.api.bounds.answers.budget().held() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
