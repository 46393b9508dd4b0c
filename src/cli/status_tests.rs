//! The status of fixed clusters.

use super::*;
use crate::client::{Durability, Member};
use crate::types::Revision;
use std::time::Duration;

fn node(name: &str, role: Role) -> NodeStatus {
    NodeStatus {
        member: Member { name: name.to_owned(), ..Member::default() },
        role,
        term: 3,
        commit_index: 1200,
        applied_index: 1200,
        revision: Revision(1100),
        keys: 40,
        disk_bytes: 5 << 20,
        uptime: Duration::from_secs(3_700),
        version: "0.1.0".to_owned(),
        durability: Durability::new("fdatasync"),
        ready: true,
        ..NodeStatus::default()
    }
}

fn down(name: &str) -> NodeStatus {
    let member = Member { name: name.to_owned(), ..Member::default() };
    NodeStatus { member, error: Some("connection refused".to_owned()), ..NodeStatus::default() }
}

fn three() -> ClusterStatus {
    let nodes = vec![node("n1", Role::Follower), node("n2", Role::Leader), node("n3", Role::Follower)];
    ClusterStatus { nodes, ..ClusterStatus::default() }
}

fn headline(status: &ClusterStatus) -> String {
    ClusterHealth::of(status).headline()
}

#[test]
fn the_table_shows_every_node_under_one_sentence() {
    let mut status = three();
    status.nodes[0].applied_index = 1195;
    let shown = render(&status, &ClusterHealth::of(&status), false, Format::Table, false);
    let expected = "\
Healthy. n2 leads (term 3). Can lose 1 more node.
NODE  ROLE      TERM  COMMIT  APPLIED  BEHIND  REVISION  KEYS  DISK     UPTIME  VERSION  HEALTH
n1    follower  3     1200    1195     5       1100      40    5.0 MiB  1h1m    0.1.0    ok
n2    leader    3     1200    1200     0       1100      40    5.0 MiB  1h1m    0.1.0    ok
n3    follower  3     1200    1200     0       1100      40    5.0 MiB  1h1m    0.1.0    ok";
    assert_eq!(shown, expected);
}

#[test]
fn the_limits_follow_in_one_line() {
    let mut status = three();
    status.limits = crate::client::RequestLimits {
        key_bytes: 8 << 10,
        request_bytes: 1536 << 10,
        txn_ops: 128,
        page_keys: 10_000,
        page_bytes: 4 << 20,
    };
    for format in [Format::Table, Format::Plain] {
        let shown = render(&status, &ClusterHealth::of(&status), false, format, false);
        assert_eq!(
            shown.lines().last().unwrap(),
            "Limits: key 8.0 KiB, request 1.5 MiB, transaction 128 operations, page 10000 keys or 4.0 MiB."
        );
        assert_eq!(shown.lines().count(), 6);
    }
}

#[test]
fn plain_output_has_tabs_and_no_color() {
    let mut status = three();
    status.nodes[2] = down("n3");
    let shown = render(&status, &ClusterHealth::of(&status), false, Format::Plain, false);
    let last = shown.lines().last().unwrap();
    assert_eq!(last, "n3\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\tdown: connection refused");
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn color_marks_health_only_where_wanted() {
    let status = three();
    let shown = render(&status, &ClusterHealth::of(&status), false, Format::Table, true);
    assert!(shown.contains('\u{1b}'));
}

#[test]
fn the_headline_says_what_may_still_break() {
    let mut status = three();
    assert!(ClusterHealth::of(&status).serves());
    status.nodes[2] = down("n3");
    assert_eq!(
        headline(&status),
        "Degraded. n2 leads (term 3); n3 does not answer. Cannot lose another node."
    );
    assert!(ClusterHealth::of(&status).serves());
    status.nodes[0] = down("n1");
    assert_eq!(headline(&status), "No majority. n2 leads (term 3); n1 does not answer; n3 does not answer.");
    assert!(!ClusterHealth::of(&status).serves());
    status.nodes[1].role = Role::Candidate;
    assert_eq!(
        headline(&status),
        "No leader. 1 of 3 voters answer, 2 are needed: n1 does not answer; n3 does not answer."
    );
}

#[test]
fn of_two_leaders_the_one_of_the_higher_term_is_right() {
    let mut status = three();
    status.nodes[0].role = Role::Leader;
    status.nodes[0].term = 2;
    assert_eq!(headline(&status), "Healthy. n2 leads (term 3). Can lose 1 more node.");
}

#[test]
fn learners_do_not_count_and_one_node_alone_is_healthy() {
    let mut status = ClusterStatus { nodes: vec![node("n1", Role::Leader)], ..ClusterStatus::default() };
    assert_eq!(headline(&status), "Healthy. n1 leads (term 3). No other node could take over.");
    let mut learner = node("n2", Role::Learner);
    learner.member.learner = true;
    status.nodes.push(learner);
    assert_eq!(headline(&status), "Healthy. n1 leads (term 3). No other node could take over.");
}

#[test]
fn unsafe_durability_is_never_healthy() {
    let mut status = three();
    status.nodes[1].durability = Durability::new("UNSAFE: no fsync");
    assert!(headline(&status).starts_with("Degraded. n2 leads (term 3); n2 does not wait for its disk."));
    assert_eq!(as_json(&status, &ClusterHealth::of(&status))["healthy"], false);
}

#[test]
fn the_json_has_a_stable_shape() {
    let json = as_json(&three(), &ClusterHealth::of(&three()));
    assert_eq!(json["leader"], "n2");
    assert_eq!(json["serves"], true);
    assert_eq!(json["voters_up"], 3);
    let keys: Vec<&String> = json["nodes"][0].as_object().unwrap().keys().collect();
    let expected = [
        "applied_index",
        "behind",
        "client_urls",
        "commit_index",
        "compact_revision",
        "compacted_index",
        "disk_bytes",
        "durability",
        "durable_index",
        "error",
        "followers",
        "id",
        "keys",
        "last_index",
        "leader_id",
        "learner",
        "longest_apply_micros",
        "name",
        "not_ready_reason",
        "peer_urls",
        "ready",
        "revision",
        "role",
        "state_hash",
        "term",
        "uptime_seconds",
        "version",
    ];
    assert_eq!(keys, expected);
}
