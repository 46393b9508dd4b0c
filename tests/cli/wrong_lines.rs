//! Lines that are wrong, and what is said of them.

use super::kontiki;
use crate::fake::{Fake, Step, closed_port, refusal};
use serde_json::{Value, json};
use tonic::Code;

fn error_of(run: &super::Run) -> Value {
    serde_json::from_str::<Value>(&run.err).unwrap_or_else(|error| panic!("{error}: {}", run.err))["error"]
        .clone()
}

#[tokio::test]
async fn a_value_like_an_option_is_said_to_be_a_value() {
    let node = Fake::start(vec![]).await;
    let run = kontiki(&node.url, &["put", "k", "--foo"]).await;
    assert_eq!((run.out.as_str(), run.code), ("", 2));
    assert!(run.err.contains("kontiki put -- KEY VALUE"), "{}", run.err);
    for (arguments, value) in [(&["put", "k", "--", "--foo"][..], "--foo"), (&["put", "k", "-5"], "-5")] {
        assert_eq!(kontiki(&node.url, arguments).await.code, 0);
        assert_eq!(kontiki(&node.url, &["get", "k"]).await.out, value);
    }
}

#[tokio::test]
async fn wrong_usage_is_json_where_the_output_is() {
    let closed = closed_port().await;
    for arguments in [
        &["-o", "json", "get"][..],
        &["get", "k", "--wrong", "--output=json"],
        &["put", "k", "--foo", "-ojson"],
        &["scan", "", "-o", "json"],
        &["-o", "json"],
        &["bench", "-o", "json", "--read-share", "7"],
    ] {
        let run = kontiki(&closed, arguments).await;
        let error = error_of(&run);
        assert_eq!((run.code, &error["exit_code"]), (2, &json!(2)), "{arguments:?}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.contains("Usage:") && !message.starts_with("error"), "{message}");
    }
    let run = kontiki(&closed, &["-o", "json", "bench", "echo"]).await;
    assert_eq!((run.code, &error_of(&run)["exit_code"]), (3, &json!(3)));
    assert_eq!(run.err.matches("tcp connect error").count(), 1, "{}", run.err);
    let json = kontiki("", &["version", "-o", "json"]).await.json();
    assert_eq!(json, json!({"version": env!("CARGO_PKG_VERSION")}));
}

/// A terminal would obey what a server or a file says.
#[tokio::test]
async fn nothing_that_is_said_steers_the_terminal() {
    let steering = "\u{1b}]0;owned\u{7}\u{9b}2J";
    let node = Fake::start(vec![Step::Refuse(tonic::Status::invalid_argument(steering))]).await;
    let has_control = |text: &str| text.contains(|c: char| c.is_control() && c != '\n');
    for arguments in [&["get", "k"][..], &["get", steering], &["get", "k", steering], &[steering]] {
        let run = kontiki(&node.url, arguments).await;
        assert!(!has_control(&run.err) && run.err.contains("\\x"), "{arguments:?}: {:?}", run.err);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{steering}\n")).unwrap();
    let path = file.path().display().to_string();
    for arguments in [&["verify", &path][..], &["config", "show", "--config", &path]] {
        let run = kontiki("", arguments).await;
        assert!(!has_control(&run.err) && run.code == 2, "{arguments:?}: {:?}", run.err);
    }
}

#[tokio::test]
async fn endpoints_of_different_clusters_are_refused() {
    let (node, other) = (Fake::start(vec![]).await, Fake::start(vec![]).await);
    other.set_cluster(9);
    let endpoints = format!("{},{}", node.url, other.url);
    for command in ["status", "health", "hash"] {
        let run = kontiki(&endpoints, &[command]).await;
        assert_eq!((run.out.as_str(), run.code), ("", 2), "{command}");
        assert!(run.err.contains("the endpoints are of different clusters"), "{}", run.err);
        for (node, cluster) in [(&node, 5), (&other, 9)] {
            assert!(run.err.contains(&format!("{} is of cluster {cluster}", node.url)), "{}", run.err);
        }
    }
}

#[tokio::test]
async fn a_revision_that_no_node_has_is_refused() {
    for reason in ["FUTURE_REVISION", "COMPACTED"] {
        // Members, who answers where, and the hash.
        let refused = Step::Refuse(refusal(Code::OutOfRange, reason, "NOT_APPLIED", None));
        let node = Fake::start(vec![Step::Pass, Step::Pass, refused]).await;
        let run = kontiki(&node.url, &["hash", "--rev", "99"]).await;
        assert_eq!((run.out.as_str(), run.code), ("", 5), "{}", run.err);
        assert!(run.err.contains(&format!("{reason}: ")), "{}", run.err);
    }
}
