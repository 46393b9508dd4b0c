//! Precedence, origins and derived settings.

use super::Sources;
use kontiki::config::ServeArgs;
use kontiki::config::{LogFormat, Origin};
use kontiki::settings::{Limits, Timing};
use std::path::PathBuf;
use std::time::Duration;

fn given(sources: &Sources, key: &str) -> (String, Origin) {
    let settings = sources.resolve().unwrap();
    let (_, given) = settings.iter().find(|(known, _)| *known == key).unwrap();
    (given.text.clone(), given.origin.clone())
}

#[test]
fn without_any_source_one_node_stands_alone_on_this_machine() {
    let config = Sources::default().load().unwrap();
    assert_eq!(config.name, "n1");
    assert_eq!(config.listen_client, "127.0.0.1:2379");
    assert_eq!(config.listen_peer, "127.0.0.1:2380");
    assert_eq!(config.advertise_client, "http://127.0.0.1:2379");
    assert_eq!(config.initial_cluster.len(), 1);
    assert_eq!(config.initial_cluster[0].peer_urls[0], "http://127.0.0.1:2380");
    assert_eq!(config.data_dir, PathBuf::from("kontiki-data/n1"));
    assert_eq!(config.timing, Timing::default());
    assert_eq!(config.limits, Limits::default(), "the table and settings.rs must say the same");
    assert!(config.fsync);
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
    let sources = Sources::default();
    assert_eq!(given(&sources, "cluster-token"), ("kontiki".to_owned(), Origin::Default));
    let sources = sources.file("# of the file\ncluster-token = \"file\"\n");
    let origin = Origin::File { path: sources.path(), line: 2 };
    assert_eq!(given(&sources, "cluster-token"), ("file".to_owned(), origin));
    let sources = sources.variable("KONTIKI_CLUSTER_TOKEN", "variable");
    let origin = Origin::Environment("KONTIKI_CLUSTER_TOKEN".to_owned());
    assert_eq!(given(&sources, "cluster-token"), ("variable".to_owned(), origin));
    let mut sources = sources;
    sources.flags.extend(["--cluster-token".to_owned(), "flag".to_owned()]);
    let origin = Origin::Flag("cluster-token".to_owned());
    assert_eq!(given(&sources, "cluster-token"), ("flag".to_owned(), origin));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let sources = Sources::default().variable("KONTIKI_NAME", "");
    assert_eq!(given(&sources, "name"), ("n1".to_owned(), Origin::Default));
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let named = Sources::default().file("name = \"n7\"");
    let path: &'static str = named.path().display().to_string().leak();
    let sources = Sources::default().variable("KONTIKI_CONFIG", path);
    assert_eq!(given(&sources, "name").0, "n7");
}

#[test]
fn every_kind_of_value_can_stand_in_the_file() {
    let sources = Sources::default().file(
        r#"
        name = "n2"
        timing = "wan"
        heartbeat-ms = 300
        max-key-size = "16KiB"
        max-request-size = 3_000_000
        unsafe-no-fsync = true
        log-format = "json"
        [initial-cluster]
        n1 = "http://127.0.0.1:2380"
        n2 = "http://127.0.0.2:2380"
        "#,
    );
    let config = sources.load().unwrap();
    assert_eq!(config.timing, Timing { heartbeat: Duration::from_millis(300), ..Timing::wan() });
    assert_eq!(config.limits.key_bytes, 16 << 10);
    assert_eq!(config.limits.request_bytes, 3_000_000);
    assert!(!config.fsync);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.advertise_peer, "http://127.0.0.2:2380", "as the cluster's list says");
    assert_eq!(given(&sources, "advertise-peer").1, Origin::Derived("initial-cluster".to_owned()));
}

#[test]
fn a_preset_is_the_origin_of_the_numbers_that_it_sets() {
    let sources = Sources::flags(&["--timing", "fast", "--election-max-ms", "250"]);
    let derived = Origin::Derived("timing fast".to_owned());
    assert_eq!(given(&sources, "heartbeat-ms"), ("20".to_owned(), derived));
    assert_eq!(given(&sources, "election-max-ms").1, Origin::Flag("election-max-ms".to_owned()));
}

#[test]
fn a_switch_needs_no_value_and_can_be_switched_off() {
    assert!(!Sources::flags(&["--unsafe-no-fsync"]).load().unwrap().fsync);
    assert!(Sources::flags(&["--unsafe-no-fsync=false"]).load().unwrap().fsync);
    assert!(!Sources::default().variable("KONTIKI_UNSAFE_NO_FSYNC", "1").load().unwrap().fsync);
}

#[test]
fn a_variable_that_is_no_setting_is_named_and_those_of_others_are_not() {
    let names = [
        "PATH",
        "KONTIKI_NAME",
        "KONTIKI_UNSAFE_NO_FSYNC",
        "KONTIKI_LISTEN_CLEINT",
        "KONTIKI_ENDPOINTS",
        "KONTIKI_CONFIG",
        "KONTIKI_EXIT_WITH_PARENT",
        // What Kubernetes sets for services `kontiki` and `kontiki-client`.
        "KONTIKI_SERVICE_HOST",
        "KONTIKI_SERVICE_PORT_CLIENT",
        "KONTIKI_PORT",
        "KONTIKI_PORT_2379_TCP_ADDR",
        "KONTIKI_CLIENT_SERVICE_HOST",
        "KONTIKI_HEARTBEAT",
    ];
    let unknown = ServeArgs::unknown_variables(names.into_iter().map(str::to_owned));
    assert_eq!(unknown, ["KONTIKI_HEARTBEAT", "KONTIKI_LISTEN_CLEINT"]);
}
