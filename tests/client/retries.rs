//! What is sent again, and what never is.

use crate::fake::{Fake, Step, closed_port, refusal, refusal_with};
use kontiki::client::{Client, Failure, Get, Layer, Options, Outcome, Put, Reason, WRONG_CLUSTER};
use kontiki::proto::v1 as pb;
use std::time::Duration;
use tonic::{Code, Status};

fn client(urls: &[&str]) -> Client {
    Client::connect(urls, Options { timeout: Duration::from_secs(3), ..Options::default() }).unwrap()
}

fn no_leader() -> Step {
    Step::Refuse(refusal(Code::Unavailable, "NO_LEADER", "NOT_APPLIED", None))
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_not_sent_again() {
    for status in [
        refusal(Code::Unavailable, "LEADERSHIP_LOST", "UNKNOWN", None),
        refusal(Code::DeadlineExceeded, "DEADLINE", "UNKNOWN", None),
        // Without a word on the outcome, the worst is assumed.
        Status::unavailable("?"),
        Status::unknown("?"),
    ] {
        let node = Fake::start(vec![Step::Refuse(status)]).await;
        let other = Fake::start(vec![]).await;
        let error = client(&[&node.url, &other.url]).put(Put::new("k", "v")).await.unwrap_err();
        assert_eq!(error.outcome(), Some(Outcome::Unknown), "{error}");
        assert_eq!((node.calls(), other.calls()), (1, 0), "{error}");
    }
}

#[tokio::test]
async fn a_write_that_was_not_applied_is_sent_again() {
    let node = Fake::start(vec![no_leader(), no_leader()]).await;
    let answer = client(&[&node.url]).put(Put::new("k", "v")).await.unwrap();
    assert_eq!(answer.meta.attempts, 3);
    assert_eq!(answer.meta.served_by, "n2");
    assert_eq!(node.calls(), 3);
}

/// A frozen process accepts connections and never answers.
#[tokio::test]
async fn a_write_passes_a_node_that_accepts_and_is_silent() {
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let frozen_url = format!("http://{}", frozen.local_addr().unwrap());
    let node = Fake::start(vec![]).await;
    let options = Options {
        timeout: Duration::from_secs(3),
        connect_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let client = Client::connect(&[&frozen_url, &node.url], options.clone()).unwrap();
    let answer = client.put(Put::new("k", "v")).await.unwrap();
    assert_eq!((answer.meta.attempts, node.calls()), (1, 1));
    // Alone, it has certainly not got the write, and has all the time to say something.
    let error = Client::connect(&[&frozen_url], options).unwrap().put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!((error.layer(), error.outcome()), (Layer::Grpc, Some(Outcome::NotApplied)));
    assert!(error.attempts > 1, "{error:?}");
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_node_that_accepts_and_is_silent() {
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let frozen_url = format!("http://{}", frozen.local_addr().unwrap());
    let node = Fake::start(vec![]).await;
    let options = Options { timeout: Duration::from_secs(60), ..Options::default() };
    let client = Client::connect(&[&frozen_url, &node.url], options).unwrap();
    let answer = client.get(Get::new("k")).await.unwrap();
    assert_eq!((answer.meta.endpoint.to_string(), node.calls()), (node.url.clone(), 1));
    // Half of the time would be 30 s, and the greeting's own patience 2 s.
    assert!(answer.meta.latency < Duration::from_secs(2), "{:?}", answer.meta.latency);
}

/// A process that was frozen for a moment.
#[tokio::test]
async fn a_write_reaches_a_node_that_goes_on() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let node = Fake::start(vec![]).await;
    let behind = node.url.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        while let Ok((mut outside, _)) = listener.accept().await {
            let mut inside = tokio::net::TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut outside, &mut inside).await });
        }
    });
    let options = Options {
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let client = Client::connect(&[&url, &closed_port().await], options).unwrap();
    client.put(Put::new("k", "v")).await.unwrap();
    assert_eq!(node.calls(), 1);
}

#[tokio::test]
async fn a_refused_request_is_not_sent_again_though_it_was_not_applied() {
    let refused = refusal(Code::InvalidArgument, "KEY_TOO_LARGE", "NOT_APPLIED", None);
    let node = Fake::start(vec![Step::Refuse(refused)]).await;
    let error = client(&[&node.url]).put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!(error.server_error().unwrap().reason.as_str(), "KEY_TOO_LARGE");
    assert_eq!(error.layer(), Layer::Server);
    assert_eq!(node.calls(), 1);
}

#[tokio::test]
async fn a_leader_that_is_named_is_asked_at_once_and_remembered() {
    let leader = Fake::start(vec![]).await;
    let hint = refusal(Code::Unavailable, "NOT_LEADER", "NOT_APPLIED", Some(&leader.url));
    let follower = Fake::start(vec![Step::Refuse(hint)]).await;
    let client = client(&[&follower.url]);
    let answer = client.put(Put::new("k", "v")).await.unwrap();
    assert_eq!(answer.meta.endpoint.to_string(), leader.url);
    assert_eq!((follower.calls(), leader.calls()), (1, 1));
    client.put(Put::new("k", "w")).await.unwrap();
    assert_eq!((follower.calls(), leader.calls()), (1, 2), "the second goes to the leader directly");
}

#[tokio::test]
async fn a_leader_that_cannot_be_reached_is_forgotten() {
    let hint = refusal(Code::Unavailable, "NOT_LEADER", "NOT_APPLIED", Some(&closed_port().await));
    let node = Fake::start(vec![Step::Refuse(hint)]).await;
    client(&[&node.url]).put(Put::new("k", "v")).await.unwrap();
    assert_eq!(node.calls(), 2);
}

#[tokio::test]
async fn the_status_tells_who_leads() {
    let leader = Fake::start(vec![]).await;
    let follower = Fake::start(vec![]).await;
    let member = pb::Member { client_urls: vec![leader.url.clone()], ..Default::default() };
    let node =
        pb::NodeStatus { member: Some(member), role: pb::NodeRole::Leader.into(), ..Default::default() };
    follower.set_status(pb::StatusResponse { nodes: vec![node], ..Default::default() });
    let client = client(&[&follower.url, &leader.url]);
    client.status().await.unwrap();
    client.put(Put::new("k", "v")).await.unwrap();
    assert_eq!((follower.calls(), leader.calls()), (1, 1));
}

#[tokio::test]
async fn a_node_that_is_down_is_passed_over_even_for_a_write() {
    let node = Fake::start(vec![]).await;
    let answer = client(&[&closed_port().await, &node.url]).put(Put::new("k", "v")).await.unwrap();
    assert_eq!(answer.meta.endpoint.to_string(), node.url);
}

#[tokio::test]
async fn when_no_node_is_there_the_client_says_so_without_waiting() {
    let started = std::time::Instant::now();
    let error =
        client(&[&closed_port().await, &closed_port().await]).put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!(error.layer(), Layer::Tcp);
    assert_eq!(error.unreachable.len(), 1, "beside the one that was asked last");
    assert_eq!(error.outcome(), Some(Outcome::NotApplied));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_read_leaves_a_silent_node_in_time_to_ask_another() {
    let silent = Fake::start(vec![Step::Hang]).await;
    let node = Fake::start(vec![]).await;
    let answer = client(&[&silent.url, &node.url]).get(Get::new("hello")).await.unwrap();
    assert_eq!(answer.meta.endpoint.to_string(), node.url);
    assert_eq!((silent.calls(), node.calls()), (1, 1));
}

#[tokio::test]
async fn a_write_waits_for_a_silent_node_and_then_its_outcome_is_unknown() {
    let silent = Fake::start(vec![Step::Hang]).await;
    let node = Fake::start(vec![]).await;
    let options = Options { timeout: Duration::from_millis(300), ..Options::default() };
    let client = Client::connect(&[&silent.url, &node.url], options).unwrap();
    let error = client.put(Put::new("k", "v")).await.unwrap_err();
    assert!(matches!(*error.failure, Failure::Timeout { .. }), "{error}");
    assert_eq!(error.outcome(), Some(Outcome::Unknown));
    assert_eq!(node.calls(), 0);
}

#[tokio::test]
async fn the_server_is_told_how_much_time_is_left() {
    let node = Fake::start(vec![no_leader()]).await;
    client(&[&node.url]).put(Put::new("k", "v")).await.unwrap();
    let left: Vec<u64> = node
        .deadlines()
        .into_iter()
        .map(|timeout| timeout.unwrap().trim_end_matches('u').parse().unwrap())
        .collect();
    assert!(left[0] <= 3_000_000 && left[1] < left[0], "{left:?}");
}

#[tokio::test]
async fn tries_are_bounded() {
    let node = Fake::start((0..50).map(|_| no_leader()).collect()).await;
    let options = Options { attempts: 4, ..Options::default() };
    let client = Client::connect(&[&node.url], options).unwrap();
    let error = client.put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!((error.attempts, node.calls()), (4, 4));
    assert_eq!(error.server_error().unwrap().known(), Some(Reason::NoLeader));
}

fn behind() -> Step {
    let facts = [("requested_revision", "9"), ("current_revision", "7")];
    Step::Refuse(refusal_with(Code::DeadlineExceeded, "DEADLINE", &facts, Duration::from_millis(1)))
}

fn hasty(url: &str) -> Client {
    let options = Options { timeout: Duration::from_millis(300), ..Options::default() };
    Client::connect(&[url], options).unwrap()
}

#[tokio::test]
async fn what_a_server_said_outlives_a_last_try_that_nobody_answered() {
    let node = Fake::start(vec![behind(), Step::Hang]).await;
    let error = hasty(&node.url).get(Get::new("k")).await.unwrap_err();
    let refusal = error.server_error().expect("the server's word, not the timeout behind it");
    assert_eq!((refusal.reason.as_str(), refusal.details["current_revision"].as_str()), ("DEADLINE", "7"));
    assert_eq!((error.attempts, node.calls()), (2, 2));
    assert!(error.elapsed >= Duration::from_millis(290), "all tries together: {:?}", error.elapsed);
}

#[tokio::test]
async fn a_write_in_doubt_is_never_reported_as_refused() {
    let node = Fake::start(vec![no_leader(), Step::Hang]).await;
    let error = hasty(&node.url).put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::Unknown), "{error}");
    let Failure::Timeout { after, .. } = *error.failure else { panic!("{error}") };
    assert_eq!(after, error.elapsed, "not the share of the last try alone");
}

#[tokio::test]
async fn no_try_is_begun_in_the_last_moment() {
    let later = Duration::from_millis(270);
    let facts = [("outcome", "NOT_APPLIED")];
    let refused = refusal_with(Code::Unavailable, "NO_LEADER", &facts, later);
    let node = Fake::start(vec![Step::Refuse(refused)]).await;
    let error = hasty(&node.url).put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!((error.server_error().unwrap().reason.as_str(), node.calls()), ("NO_LEADER", 1));
    assert!(error.elapsed < later, "it does not wait for nothing: {:?}", error.elapsed);
}

/// Endpoints of two clusters: their keys and revisions have nothing to do with each other.
#[tokio::test]
async fn what_another_cluster_answers_is_refused() {
    let node = Fake::start(vec![Step::Pass, no_leader(), no_leader(), Step::Pass]).await;
    let other = Fake::start(vec![]).await;
    other.set_cluster(9);
    let client = client(&[&node.url, &other.url]);
    client.get(Get::new("k")).await.unwrap();
    let error = client.get(Get::new("k")).await.unwrap_err();
    assert_eq!(error.server_error().unwrap().reason.as_str(), WRONG_CLUSTER);
    assert_eq!((node.calls(), other.calls()), (2, 1));
    let error = client.put(Put::new("k", "v")).await.unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::Unknown), "there it may have been done: {error}");
}
