//! Clients that do not finish their requests, or do not read their answers: they hold a bounded number of bytes,
//! and nobody else waits for them.

use crate::grpc::hostile::{Hostile, framed, refusal};
use crate::grpc::node::{Node, get, put};
use crate::grpc::refusals::info;
use bytes::Bytes;
use kontiki::api::context::Bounds;
use kontiki::budget::Budget;
use kontiki::connections::readers::ReadingTime;
use kontiki::settings::Limits;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const STEP: Duration = Duration::from_millis(5);
/// What is waited for is there long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// `RESOURCE_EXHAUSTED`
const EXHAUSTED: Option<&str> = Some("8");
/// `DEADLINE_EXCEEDED`
const LATE: Option<&str> = Some("4");

async fn node_with(requests: usize, answers: usize) -> Node {
    let reading_time = ReadingTime { crowded: Duration::from_secs(1), ..ReadingTime::USUAL };
    let (requests, answers) = (Budget::new(requests), Budget::new(answers));
    let bounds = Bounds { requests, answers, reading_time, ..Bounds::default() };
    Node::alone_within(Limits::default(), bounds).await
}

/// Waits until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain");
        tokio::time::sleep(STEP).await;
    }
}

async fn until_empty(budget: &Arc<Budget>) {
    until(|| budget.held() == 0).await;
}

#[tokio::test]
async fn puts_without_an_end_hold_no_more_than_their_budget() {
    let node = node_with(8 * MIB, 8 * MIB).await;
    let mut client = Hostile::connect(node.address, 65_535).await;
    let message = framed(&put("k", &"x".repeat(MIB)));
    let mut unfinished = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..40 {
        let (answer, body) = client.ask_without_end("KvService/Put", &message).await;
        answers.push(tokio::spawn(answer));
        unfinished.push(body);
    }
    let requests = &node.api.bounds.requests;
    until(|| {
        assert!(requests.held() <= 8 * MIB);
        answers.iter().filter(|answer| answer.is_finished()).count() >= 34
    })
    .await;
    for answer in answers.into_iter().filter(|answer| answer.is_finished()) {
        assert_eq!(refusal(&answer.await.unwrap().unwrap()), EXHAUSTED);
    }
    // What is small and there at once finds room.
    node.put("k", "v").await;
    drop((unfinished, client));
    until_empty(requests).await;
}

#[tokio::test]
async fn a_put_without_an_end_is_given_up() {
    let default_deadline = Duration::from_secs(1);
    let node = Node::alone_with(Limits { default_deadline, ..Limits::default() }).await;
    let mut client = Hostile::connect(node.address, 65_535).await;
    let (answer, _unfinished) = client.ask_without_end("KvService/Put", &framed(&put("k", "v"))).await;
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("it is answered").unwrap();
    assert_eq!(refusal(&answer), LATE);
    until_empty(&node.api.bounds.requests).await;
}

#[tokio::test]
async fn puts_that_are_only_headers_take_nobodys_place() {
    let node = Node::alone_with(Limits { requests_in_flight: 4, ..Limits::default() }).await;
    let mut client = Hostile::connect(node.address, 65_535).await;
    let mut unfinished = Vec::new();
    for _ in 0..100 {
        unfinished.push(client.begin("KvService/Put").await);
    }
    let requests = &node.api.bounds.requests;
    until(|| requests.held() >= 100 * (4 << 10)).await;
    node.put("k", "v").await;
    drop((unfinished, client));
    until_empty(requests).await;
}

/// Asks for a value of a MiB on one connection, until that is refused. Answers how often it was not.
async fn fill(
    client: &mut Hostile,
    question: &Bytes,
    kept: &mut Vec<http::Response<h2::RecvStream>>,
) -> usize {
    while kept.len() < 100 {
        let answer = client.ask("KvService/Get", question).await.await.unwrap();
        if refusal(&answer) == EXHAUSTED {
            return kept.len();
        }
        kept.push(answer);
    }
    panic!("{} MiB lie there, and one more is answered", kept.len());
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_no_more_than_their_budget() {
    let node = node_with(8 * MIB, 8 * MIB).await;
    node.put("k", &"x".repeat(MIB)).await;
    let question = framed(&get("k"));
    let mut kept = Vec::new();
    let mut first = Hostile::connect(node.address, 0).await;
    assert_eq!(fill(&mut first, &question, &mut kept).await, 4, "half of the budget");
    // Everybody else is served.
    node.kv().get(get("k")).await.unwrap();
    let mut second = Hostile::connect(node.address, 0).await;
    assert_eq!(fill(&mut second, &question, &mut kept).await, 7);
    let answers = &node.api.bounds.answers;
    assert!(answers.held() <= 8 * MIB);
    // Refused at once, and in words, is what finds no room.
    let refused = node.kv().get(get("k")).await.unwrap_err();
    assert_eq!(&*info(&refused).reason, "OVERLOADED");
    node.put("k", "v").await;
    // Who does not read is disconnected after a while, since others need the room.
    until_empty(answers).await;
    until(|| first.is_closed() && second.is_closed()).await;
}
