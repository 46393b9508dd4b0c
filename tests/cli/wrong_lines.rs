//! Lines that are wrong, and what is said of them.

use super::kontiki;
use crate::fake::{Fake, Step, closed_port, refusal};
use serde_json::{Value, json};
use std::process::Stdio;
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
    let node = Fake::start(vec![]).await;
    let run = kontiki(&node.url, &["hash", "--rev", "99"]).await;
    assert_eq!((run.out.as_str(), run.code), ("", 5), "{}", run.err);
    assert!(run.err.contains("hash failed") && run.err.contains("FUTURE_REVISION: "), "{}", run.err);
    // Members, who answers where; then the node and the cluster.
    let refused = || Step::Refuse(refusal(Code::OutOfRange, "COMPACTED", "NOT_APPLIED", None));
    let node = Fake::start(vec![Step::Pass, Step::Pass, refused(), refused()]).await;
    let run = kontiki(&node.url, &["hash", "--rev", "1"]).await;
    assert_eq!((run.out.as_str(), run.code), ("", 5), "{}", run.err);
    assert!(run.err.contains("hash failed") && run.err.contains("COMPACTED: "), "{}", run.err);
}

#[tokio::test]
async fn a_wrong_number_is_told_with_its_option_and_what_is_expected() {
    for (arguments, option, expected) in [
        (&["scan", "--limit", "x"][..], "--limit <N>", "a whole number is expected"),
        (&["put", "--if-revision", "x", "k", "v"], "--if-revision <REVISION>", "a whole number is expected"),
        (&["bench", "--rate", "x"], "--rate <PER-SECOND>", "a number is expected"),
        (&["scan", "--limit", "99999999999999999999"], "--limit <N>", "the number is too large"),
    ] {
        let run = kontiki("", arguments).await;
        assert_eq!(run.code, 2);
        assert!(run.err.contains(&format!("'{option}': {expected}\n")), "{}", run.err);
        let run = kontiki("", &[arguments, &["-o", "json"]].concat()).await;
        assert!(error_of(&run)["message"].as_str().unwrap().ends_with(expected), "{}", run.err);
    }
}

#[tokio::test]
async fn endpoints_that_a_space_separates_are_told_as_such() {
    for arguments in [&["get", "k"][..], &["bench", "echo"]] {
        let run = kontiki("http://a:1 http://b:2", arguments).await;
        assert_eq!(run.code, 2);
        let expected =
            "KONTIKI_ENDPOINTS: `http://a:1 http://b:2` has a space in it; separate endpoints by commas";
        assert!(run.err.contains(expected), "{}", run.err);
    }
}

/// Else it looks as if nothing had been written.
#[tokio::test]
async fn a_write_whose_answer_cannot_be_printed_is_said_to_be_done() {
    let node = Fake::start(vec![]).await;
    for (arguments, is_write) in [(&["put", "k", "v"][..], true), (&["get", "k"], false)] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kontiki"));
        command.env("KONTIKI_ENDPOINTS", &node.url).args(arguments).stdout(full).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().await.unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains("cannot write to standard output"), "{words}");
        assert_eq!(words.contains("the request itself was carried out"), is_write, "{words}");
    }
}

#[tokio::test]
async fn what_dev_is_told_wrongly_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "").unwrap();
    let path = dir.path().display().to_string();
    for arguments in [&["dev", "--data-dir", &path][..], &["dev", "--base-port", "65535"]] {
        let run = kontiki("", arguments).await;
        assert_eq!(run.code, 2, "{}", run.err);
    }
}

#[tokio::test]
async fn the_help_shows_what_is_needed_and_where_it_belongs() {
    let run = kontiki("", &["compact", "--help"]).await;
    assert!(run.out.contains("kontiki compact [OPTIONS] <REVISION|--rev <REVISION>>"), "{}", run.out);
    assert_eq!(kontiki("", &["compact"]).await.code, 2);
    assert_eq!(kontiki("", &["compact", "7", "--rev", "7"]).await.code, 2);
    let run = kontiki("", &["serve", "--help"]).await;
    for heading in ["This node:", "Timing, the same on all nodes:", "Limits of requests:", "Logs:"] {
        assert!(run.out.contains(&format!("\n{heading}\n")), "{}", run.out);
    }
}
