//! The checked configuration, and what is derived from it: ids, and what all members must share.

use crate::member::Member;
use crate::settings::{Limits, SharedSettings, Timing};
use crate::types::{ClusterId, NodeId};
use std::path::PathBuf;
use xxhash_rust::xxh3::Xxh3;

/// The version of everything that members exchange and must agree on, beside
/// the settings: the byte form of commands, members and the snapshot.
const FORMAT: u64 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// The node's name, one of `initial_cluster`.
    pub name: String,
    /// Where the node keeps its data; created if absent.
    pub data_dir: PathBuf,
    /// Where to listen for clients, `host:port`.
    pub listen_client: String,
    /// How clients reach this node, `http://host:port`.
    pub advertise_client: String,
    /// Where to listen for the other nodes, `host:port`.
    pub listen_peer: String,
    /// How the other nodes reach this one, `http://host:port`.
    pub advertise_peer: String,
    /// All voters that the cluster starts with, this one included, ordered by name.
    pub initial_cluster: Vec<Member>,
    /// Distinguishes clusters whose nodes have the same names.
    pub cluster_token: String,
    /// The file with the secret that all nodes share.
    pub cluster_secret_file: Option<PathBuf>,
    /// Whether to make that file if it is not there.
    pub create_cluster_secret: bool,
    /// How fast the cluster reacts.
    pub timing: Timing,
    pub limits: Limits,
    /// The most bytes of a snapshot sent per second.
    pub snapshot_rate_bytes: u64,
    /// How many log entries are kept although the state covers them.
    pub log_retain_entries: u64,
    /// About the most bytes of such entries.
    pub log_retain_bytes: usize,
    /// Only what makes room is accepted while the disk has less of it than this, in bytes.
    pub disk_reserve_bytes: u64,
    /// The threads of the network runtime. One is fastest where nodes share a machine.
    pub worker_threads: usize,
    /// The bytes of memory for caches: of whole records, and of the storage engine's pages.
    pub cache_bytes: u64,
    /// Whether an acknowledged write is on stable storage. False only by `--unsafe-no-fsync`.
    pub fsync: bool,
    pub log: LogConfig,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level (`info`) or directives per module (`info,kontiki::raft=debug`).
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `Plain` if standard error is a terminal, else `Json`.
    #[default]
    Auto,
    /// For people.
    Plain,
    /// One JSON object on each line, for machines.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Auto }
    }
}

impl ServeConfig {
    /// The cluster's id: derived from the token and the names of its first members, but not from addresses,
    /// which may change.
    pub fn cluster_id(&self) -> ClusterId {
        let mut names: Vec<&str> = self.initial_cluster.iter().map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        let mut words = vec!["cluster", &self.cluster_token];
        words.extend(names);
        ClusterId(hash_words(&words))
    }

    /// The id of the node with this name, the same on every member.
    pub fn node_id(&self, name: &str) -> NodeId {
        node_id(&self.cluster_token, name)
    }

    /// This node, as it is to be reached.
    pub fn own(&self) -> Member {
        Member {
            peer_urls: vec![self.advertise_peer.clone()],
            client_urls: vec![self.advertise_client.clone()],
            ..Member::named(self.node_id(&self.name), &self.name)
        }
    }

    /// Everything that members must share: timing, and the peer protocol. Peers compare it when they connect.
    ///
    /// Limits are not in it: those that decide what is applied are in the state, the others concern
    /// what one node takes from its clients, and may differ while a cluster is restarted node by node.
    pub fn shared_settings(&self) -> SharedSettings {
        let Timing { tick, heartbeat, election_min, election_max } = &self.timing;
        // A leader whose heartbeats are rarer than another's election timeout would be challenged forever.
        SharedSettings(vec![
            ("peer protocol", FORMAT),
            ("tick-ms", millis(*tick)),
            ("heartbeat-ms", millis(*heartbeat)),
            ("election-min-ms", millis(*election_min)),
            ("election-max-ms", millis(*election_max)),
        ])
    }
}

/// The id of the node with this name in a cluster with this token.
pub(super) fn node_id(token: &str, name: &str) -> NodeId {
    NodeId(hash_words(&["node", token, name]))
}

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Hashes words so that no two lists of words are hashed alike, and never to 0, which means "none" on the wire.
fn hash_words(words: &[&str]) -> u64 {
    let mut hash = Xxh3::new();
    for word in words {
        hash.update(&(word.len() as u64).to_le_bytes());
        hash.update(word.as_bytes());
    }
    hash.digest().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServeArgs;

    fn config(arguments: &[&str]) -> ServeConfig {
        ServeArgs::from_flags(arguments).resolve(&|_| None).unwrap().check().unwrap()
    }

    #[test]
    fn ids_depend_on_token_and_names_and_never_on_urls() {
        let one = config(&["--initial-cluster", "n1=http://127.0.0.1:1,n2=http://127.0.0.1:2"]);
        let moved = config(&["--initial-cluster", "n2=http://127.0.0.9:9,n1=http://127.0.0.8:9"]);
        assert_eq!(one.cluster_id(), moved.cluster_id());
        assert_eq!(one.node_id("n1"), moved.node_id("n1"));
        assert_ne!(one.node_id("n1"), one.node_id("n2"));
        let other = config(&[
            "--initial-cluster",
            "n1=http://127.0.0.1:1,n2=http://127.0.0.1:2",
            "--cluster-token",
            "t2",
        ]);
        assert_ne!(one.cluster_id(), other.cluster_id());
        assert_ne!(one.node_id("n1"), other.node_id("n1"));
    }

    #[test]
    fn words_that_only_join_alike_hash_apart() {
        assert_ne!(hash_words(&["ab", "c"]), hash_words(&["a", "bc"]));
    }

    #[test]
    fn what_members_share_is_timing_and_nothing_local() {
        let one = config(&[]);
        for local in [["--cache-mib", "32"], ["--data-dir", "elsewhere"], ["--max-key-size", "9KiB"]] {
            assert_eq!(one.shared_settings(), config(&local).shared_settings(), "{local:?}");
        }
        for shared in [["--timing", "wan"], ["--heartbeat-ms", "51"]] {
            let (own, other) = (one.shared_settings(), config(&shared).shared_settings());
            assert_ne!(own.fingerprint(), other.fingerprint(), "{shared:?}");
        }
    }
}
