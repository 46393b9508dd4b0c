//! The commands, one after the other.

use super::{bytes_of, kontiki, kontiki_with_input, kontiki_with_variables};
use crate::fake::{Fake, Step, closed_port, header, kv, refusal, refusal_with};
use kontiki::proto::v1 as pb;
use serde_json::Value;
use std::time::Duration;
use tonic::Code;

#[tokio::test]
async fn put_and_get_speak_as_promised() {
    let node = Fake::start(vec![]).await;
    let run = kontiki(&node.url, &["put", "hello", "world"]).await;
    assert!(run.out.starts_with("OK  revision 2  (n2, ") && run.out.ends_with(" ms)\n"), "{}", run.out);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let run = kontiki(&node.url, &["get", "hello"]).await;
    assert_eq!((run.out.as_str(), run.code), ("world", 0));
    let run = kontiki(&node.url, &["get", "nothing"]).await;
    assert_eq!((run.out.as_str(), run.err.as_str(), run.code), ("", "absent: nothing\n", 1));
    let run = kontiki(&node.url, &["get", "--hex", "68656c6c6f"]).await;
    assert_eq!(run.out, "776f726c64\n");
}

#[tokio::test]
async fn a_value_goes_out_to_the_byte() {
    let node = Fake::start(vec![]).await;
    let all: String = (0..=255_u8).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(kontiki(&node.url, &["put", "--hex", "6b", &all]).await.code, 0);
    let run = bytes_of(&node.url, &["get", "k"]).await;
    assert_eq!(run, (0..=255).collect::<Vec<u8>>());
    // And back in, from standard input.
    kontiki_with_input(&node.url, &["put", "text", "-"], "a\n\tb").await;
    assert_eq!(kontiki(&node.url, &["get", "text"]).await.out, "a\n\tb");
}

#[tokio::test]
async fn what_a_shell_makes_of_a_variable_is_not_an_option_and_not_everything() {
    let node = Fake::start(vec![]).await;
    for arguments in [
        &["delete", "--from", ""][..],
        &["delete", "--to", ""],
        &["delete", "--prefix", ""],
        &["scan", ""],
        &["scan", "--from", ""],
    ] {
        let run = kontiki(&node.url, arguments).await;
        assert!(run.err.contains("is empty; for everything say --all"), "{arguments:?}: {}", run.err);
        assert_eq!(run.code, 2, "{arguments:?}");
    }
    for value in ["-h", "--help"] {
        let run = kontiki(&node.url, &["put", "level", value]).await;
        assert_eq!((run.out.as_str(), run.code), ("", 2), "{value}");
        assert!(run.err.contains("kontiki put -- KEY"), "{}", run.err);
        assert_eq!(kontiki(&node.url, &["put", "--", "level", value]).await.code, 0);
        assert_eq!(kontiki(&node.url, &["get", "level"]).await.out, value);
    }
    assert_eq!(kontiki(&node.url, &["put", "--help"]).await.code, 0);
}

#[tokio::test]
async fn an_empty_variable_is_one_that_is_not_set() {
    let node = Fake::start(vec![]).await;
    let variables = ["KONTIKI_TIMEOUT", "KONTIKI_OUTPUT", "KONTIKI_ENDPOINTS"].map(|name| (name, ""));
    let run = kontiki_with_variables(&variables, &["--endpoints", &node.url, "put", "a", "1"]).await;
    assert_eq!((run.err.as_str(), run.code), ("", 0));
}

#[tokio::test]
async fn an_endpoint_needs_no_scheme() {
    let node = Fake::start(vec![]).await;
    let address = node.url.strip_prefix("http://").unwrap();
    let run = kontiki(&format!(" {address} , "), &["put", "a", "1"]).await;
    assert_eq!((run.err.as_str(), run.code), ("", 0));
}

#[tokio::test]
async fn json_output_has_stable_fields() {
    let node = Fake::start(vec![]).await;
    kontiki(&node.url, &["put", "hello", "world"]).await;
    let json = kontiki(&node.url, &["-o", "json", "get", "hello"]).await.json();
    assert_eq!(json["kv"]["value"], "world");
    assert_eq!(json["kv"]["version"], 1);
    assert_eq!(json["revision"], 2);
    assert_eq!(json["served_by"], "n2");
    let run = kontiki(&node.url, &["get", "nothing", "-o", "json"]).await;
    assert_eq!((run.json()["kv"].is_null(), run.code, run.err.as_str()), (true, 1, ""));
    let json = kontiki(&node.url, &["-o", "json", "put", "a", "1"]).await.json();
    assert_eq!((json["succeeded"].clone(), json["attempts"].clone()), (true.into(), 1.into()));
}

#[tokio::test]
async fn a_scan_writes_a_line_for_each_key() {
    let node = Fake::start(vec![]).await;
    let chunk = |kvs, last| Ok(pb::ScanResponse { header: header(), kvs, last });
    node.next_scan(vec![chunk(vec![kv("a", "1"), kv("b\t", "2")], false), chunk(vec![kv("c", "3")], true)]);
    let run = kontiki(&node.url, &["scan"]).await;
    assert_eq!((run.out.as_str(), run.code), ("a\t1\nb\\t\t2\nc\t3\n", 0));
    node.next_scan(vec![chunk(vec![kv("a", "1")], true)]);
    let run = kontiki(&node.url, &["scan", "a", "-o", "json", "--keys-only"]).await;
    assert_eq!(
        run.json(),
        serde_json::json!({"key": "a", "create_revision": 2, "mod_revision": 2, "version": 1})
    );
}

#[tokio::test]
async fn conditions_that_do_not_hold_are_a_conflict() {
    let node = Fake::start(vec![]).await;
    let run = kontiki(&node.url, &["put", "--if-absent", "lock", "me"]).await;
    assert_eq!((run.code, run.err.as_str()), (6, "conflict: lock exists already; nothing was written\n"));
    let run = kontiki_with_input(&node.url, &["txn"], "if absent(a) then put a 1").await;
    assert_eq!(run.code, 6, "{}", run.err);
    node.set_conditions(true);
    let run = kontiki(&node.url, &["txn", "if absent(a) then put a 1"]).await;
    assert_eq!(run.code, 0);
    assert!(run.out.starts_with("OK  succeeded  revision 2  (n2, "), "{}", run.out);
}

#[tokio::test]
async fn every_kind_of_failure_has_its_exit_code() {
    let refuse = |code, reason, outcome| vec![Step::Refuse(refusal(code, reason, outcome, None))];
    let closed = closed_port().await;
    assert_eq!(kontiki(&closed, &["get", "k"]).await.code, 3, "nobody there");
    assert_eq!(kontiki("https://h:1", &["get", "k"]).await.code, 2, "no TLS");
    assert_eq!(kontiki(&closed, &["get"]).await.code, 2, "no key");
    assert_eq!(kontiki(&closed, &["txn", "put a"]).await.code, 2, "no transaction");
    assert_eq!(kontiki(&closed, &["delete"]).await.code, 2, "nothing selected");

    let node = Fake::start(refuse(Code::Unavailable, "LEADERSHIP_LOST", "UNKNOWN")).await;
    let run = kontiki(&node.url, &["put", "k", "v"]).await;
    assert_eq!(run.code, 4);
    assert!(run.err.contains("outcome: unknown"), "{}", run.err);

    let node = Fake::start(refuse(Code::InvalidArgument, "KEY_TOO_LARGE", "NOT_APPLIED")).await;
    assert_eq!(kontiki(&node.url, &["put", "k", "v"]).await.code, 5);

    let node = Fake::start(vec![Step::Hang]).await;
    assert_eq!(kontiki(&node.url, &["--timeout", "200ms", "put", "k", "v"]).await.code, 4);
}

#[tokio::test]
async fn a_node_that_is_behind_is_told_from_a_cluster_without_majority() {
    let facts = [("requested_revision", "9"), ("current_revision", "7")];
    let behind =
        || Step::Refuse(refusal_with(Code::DeadlineExceeded, "DEADLINE", &facts, Duration::from_millis(1)));
    let node = Fake::start((0..50).map(|_| behind()).collect()).await;
    let run = kontiki(&node.url, &["--timeout", "200ms", "get", "k"]).await;
    assert!(run.err.contains("facts:   requested_revision 9, current_revision 7"), "{}", run.err);
    assert!(run.err.contains("likely:  that node is behind"), "{}", run.err);
    assert_eq!(run.code, 4);
}

/// An unset variable in a script must not move leadership, nor a typo remove keys.
#[tokio::test]
async fn what_was_hardly_meant_is_not_done() {
    let node = Fake::start(vec![]).await;
    let run = kontiki(&node.url, &["transfer-leader", ""]).await;
    assert_eq!(run.code, 2);
    assert!(run.err.contains("the name of the node is empty"), "{}", run.err);
    let run = kontiki(&node.url, &["delet", "k"]).await;
    assert_eq!(run.code, 2);
    assert!(run.err.contains("'delete'"), "{}", run.err);
}

#[tokio::test]
async fn errors_are_json_where_the_output_is() {
    let run = kontiki(&closed_port().await, &["-o", "json", "get", "k"]).await;
    let error: Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!(error["error"]["layer"], "TCP");
    assert_eq!(error["error"]["exit_code"], 3);
    assert_eq!(run.out, "");
}

#[tokio::test]
async fn delete_says_what_may_be_selected_and_what_is_only_an_option() {
    for arguments in [&["delete"][..], &["delete", "--previous"]] {
        let run = kontiki("", arguments).await;
        assert_eq!(run.code, 2);
        let selector = "<KEY|--prefix <PREFIX>|--from <KEY>|--to <KEY>|--all>";
        assert!(run.err.contains(selector), "{}", run.err);
    }
}

#[tokio::test]
async fn status_asks_any_node_and_judges_the_whole() {
    let node = Fake::start(vec![]).await;
    let status = |name: &str, role: pb::NodeRole, error: &str| pb::NodeStatus {
        member: Some(pb::Member { name: name.to_owned(), ..Default::default() }),
        role: role.into(),
        error: error.to_owned(),
        raft_term: 3,
        ready: true,
        ..Default::default()
    };
    let nodes = vec![
        status("n1", pb::NodeRole::Leader, ""),
        status("n2", pb::NodeRole::Follower, ""),
        status("n3", pb::NodeRole::Unspecified, "no answer within 500 ms"),
    ];
    node.set_status(pb::StatusResponse { nodes, ..Default::default() });
    let endpoints = format!("{},{}", closed_port().await, node.url);
    let run = kontiki(&endpoints, &["status"]).await;
    let first = run.out.lines().next().unwrap();
    assert_eq!(first, "Degraded. n1 leads (term 3); n3 does not answer. Cannot lose another node.");
    assert_eq!((run.out.lines().count(), run.code), (5, 0), "{}", run.out);
    node.set_status(pb::StatusResponse::default());
    assert_eq!(kontiki(&endpoints, &["status"]).await.code, 1, "no leader");
}

#[tokio::test]
async fn config_show_tells_each_values_origin_even_of_a_wrong_one() {
    let json = kontiki("", &["config", "show", "-o", "json", "--name", "n7"]).await.json();
    let settings = json["settings"].as_array().unwrap();
    let name = settings.iter().find(|setting| setting["key"] == "name").unwrap();
    assert_eq!(name["value"], "n7");
    assert_eq!(name["origin"], serde_json::json!({"kind": "flag", "name": "name"}));
    let run = kontiki("", &["config", "show", "--timing", "moon"]).await;
    assert!(run.out.contains("timing\tmoon\tflag --timing"), "{}", run.out);
    assert!(run.err.contains("`moon` is not a preset"), "{}", run.err);
    assert_eq!(run.code, 2);
}

#[tokio::test]
async fn a_wrong_configuration_stops_serve_before_anything_is_done() {
    let run = kontiki("", &["serve", "--name", "n9", "--initial-cluster", "n1=http://a:1"]).await;
    assert_eq!(run.code, 2);
    assert!(run.err.contains("`n9` is not in initial-cluster"), "{}", run.err);
}

#[tokio::test]
async fn health_is_an_exit_code() {
    let node = Fake::start(vec![]).await;
    let run = kontiki(&node.url, &["health", "--liveness"]).await;
    assert_eq!((run.out, run.code), (format!("{}\tok\n", node.url), 0));
    let run = kontiki(&node.url, &["health"]).await;
    assert_eq!((run.out, run.code), (format!("{}\tnot ready\n", node.url), 1));
    let run = kontiki(&closed_port().await, &["health"]).await;
    assert_eq!(run.code, 1);
    assert!(run.out.contains("connection refused (TCP)"), "{}", run.out);
}

#[tokio::test]
async fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = kontiki("", &["completions", shell]).await;
        assert!(run.code == 0 && run.out.contains("transfer-leader"), "{shell}");
    }
}

#[tokio::test]
async fn the_version_is_a_command_too() {
    let run = kontiki("", &["version"]).await;
    assert_eq!((run.code, run.out), (0, kontiki("", &["--version"]).await.out));
}

#[tokio::test]
async fn what_is_no_revision_is_refused_in_words() {
    for arguments in [&["compact", "abc"][..], &["compact", "--rev", "0"], &["get", "k", "--at-least", "0"]] {
        let run = kontiki("", arguments).await;
        assert_eq!(run.code, 2);
        assert!(run.err.contains("a revision is a whole number from 1 on"), "{}", run.err);
    }
    let node = Fake::start(vec![]).await;
    for arguments in [&["compact", "2"][..], &["compact", "--rev", "2"]] {
        let run = kontiki(&node.url, arguments).await;
        assert!(run.out.contains("no history is left below revision 2"), "{} {}", run.out, run.err);
    }
}
