//! The rules between settings.

use crate::address::{HostPort, NodeUrl};
use crate::codec::TXN_PARTS_MAX;
use crate::config::serve_config::ServeConfig;
use crate::member::Member;
use crate::settings::{Limits, Timing};
use std::time::Duration;

/// More voters cost more than they protect (each write waits for a majority).
const MOST_MEMBERS: usize = 15;

/// A key is in every index entry and page token.
const MOST_KEY_BYTES: u64 = 64 << 10;

/// A command is one entry of the log, which is sent, written and applied as a whole; everything else waits
/// for it.
const MOST_REQUEST_BYTES: u64 = 4 << 20;

/// What has more in all its branches is not even decoded.
const MOST_TXN_OPS: usize = TXN_PARTS_MAX / Limits::ALL_BRANCHES;

/// Clients accept no larger answer.
const MOST_PAGE_BYTES: u64 = 64 << 20;

/// A chunk is what a stream holds in memory at a time.
const MOST_CHUNK_BYTES: u64 = 4 << 20;

/// Each takes some memory and a descriptor.
const MOST_CONNECTIONS: usize = 1_000_000;

/// Room for the records, and the least with which the engine runs.
const LEAST_CACHE_BYTES: u64 = 17 << 20;

/// The broken rules, each with the key of the setting to change.
type Broken = Vec<(&'static str, String)>;

/// Checks the rules between settings.
pub(super) fn broken(config: &ServeConfig) -> Broken {
    let mut broken = Vec::new();
    cluster_rules(config, &mut broken);
    address_rules(config, &mut broken);
    secret_rules(config, &mut broken);
    timing_rules(&config.timing, &mut broken);
    limit_rules(config, &mut broken);
    broken
}

fn cluster_rules(config: &ServeConfig, broken: &mut Broken) {
    let members = &config.initial_cluster;
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut urls: Vec<&str> = members.iter().filter_map(Member::peer_url).collect();
    names.sort_unstable();
    urls.sort_unstable();
    if let Some(duplicates) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        broken.push(("initial-cluster", format!("names `{}` twice", duplicates[0])));
    }
    if let Some(duplicates) = urls.windows(2).find(|pair| pair[0] == pair[1]) {
        broken.push(("initial-cluster", format!("has two nodes at {}", duplicates[0])));
    }
    if members.len() > MOST_MEMBERS {
        let message = format!("has {} nodes; at most {MOST_MEMBERS} may vote", members.len());
        broken.push(("initial-cluster", message));
    }
    match members.iter().find(|member| member.name == config.name) {
        None => broken.push((
            "name",
            format!("`{}` is not in initial-cluster, which has {}", config.name, names.join(", ")),
        )),
        Some(own) if own.peer_url() != Some(&config.advertise_peer) => broken.push((
            "advertise-peer",
            format!(
                "is {}, but initial-cluster says that {} is at {}",
                config.advertise_peer,
                own.name,
                own.peer_url().unwrap_or_default()
            ),
        )),
        Some(_) => {}
    }
}

fn address_rules(config: &ServeConfig, broken: &mut Broken) {
    for (key, url) in
        [("advertise-client", &config.advertise_client), ("advertise-peer", &config.advertise_peer)]
    {
        if NodeUrl::parse(url).is_ok_and(|url| url.0.is_wildcard()) {
            let message =
                format!("{url} is every machine's own address; set {key} to one that others can reach");
            broken.push((key, message));
        }
    }
    if config.listen_client == config.listen_peer {
        let message = format!("is {}, as is listen-client; they need a port each", config.listen_peer);
        broken.push(("listen-peer", message));
    }
}

/// Whoever reaches a peer listener without a secret can take part in the consensus by a forged message.
fn secret_rules(config: &ServeConfig, broken: &mut Broken) {
    let is_remote = |address: Result<HostPort, String>| address.is_ok_and(|address| !address.is_loopback());
    let urls = config.initial_cluster.iter().flat_map(|member| &member.peer_urls);
    let remote = urls.clone().find(|url| is_remote(NodeUrl::parse(url).map(|url| url.0)));
    let exposed = Some(&config.listen_peer).filter(|address| is_remote(HostPort::parse(address)));
    if let (None, Some(address)) = (&config.cluster_secret_file, remote.or(exposed))
        && config.initial_cluster.len() > 1
    {
        let message = format!(
            "is required, since {address} is not a loopback address: give all nodes the same file, made by \
             `openssl rand -hex 32`"
        );
        broken.push(("cluster-secret-file", message));
    }
    if config.cluster_secret_file.is_none() && config.create_cluster_secret {
        broken.push(("create-cluster-secret", "needs cluster-secret-file, the file to make".into()));
    }
}

fn timing_rules(timing: &Timing, broken: &mut Broken) {
    let Timing { tick, heartbeat, election_min, election_max } = timing;
    let shown = |duration: &Duration| format!("{} ms", duration.as_millis());
    if tick > heartbeat {
        let message = format!("{} is longer than the heartbeat of {}", shown(tick), shown(heartbeat));
        broken.push(("tick-ms", message));
    }
    if *heartbeat * 2 > *election_min {
        let message = format!(
            "{} is less than two heartbeats of {}: one lost message would start an election",
            shown(election_min),
            shown(heartbeat)
        );
        broken.push(("election-min-ms", message));
    }
    if election_min >= election_max {
        let message = format!(
            "{} must be more than election-min-ms, {}: nodes that wait equally long split the vote",
            shown(election_max),
            shown(election_min)
        );
        broken.push(("election-max-ms", message));
    }
}

fn limit_rules(config: &ServeConfig, broken: &mut Broken) {
    let limits = &config.limits;
    for (key, bytes, most, why) in [
        (
            "max-key-size",
            limits.key_bytes as u64,
            MOST_KEY_BYTES,
            "every node searches its index by whole keys",
        ),
        (
            "max-request-size",
            limits.request_bytes as u64,
            MOST_REQUEST_BYTES,
            "it is one entry of the log, which is written and applied as a whole",
        ),
        ("max-page-size", limits.page_bytes, MOST_PAGE_BYTES, "a page is built in memory; a scan streams"),
        (
            "max-scan-chunk-size",
            limits.scan_chunk_bytes,
            MOST_CHUNK_BYTES,
            "each open scan holds a chunk in memory",
        ),
    ] {
        if bytes > most {
            broken.push((key, format!("{bytes} B is more than {most} B: {why}")));
        }
    }
    if limits.txn_ops > MOST_TXN_OPS {
        let (given, why) = (limits.txn_ops, "the thread that decodes them serves everybody");
        broken.push(("max-txn-ops", format!("{given} is more than {MOST_TXN_OPS}: {why}")));
    }
    if limits.key_bytes >= limits.request_bytes {
        let message =
            format!("{} B must be less than max-request-size, {} B", limits.key_bytes, limits.request_bytes);
        broken.push(("max-key-size", message));
    }
    if limits.scan_chunk_bytes > limits.page_bytes {
        let message = format!(
            "{} B must not be more than max-page-size, {} B",
            limits.scan_chunk_bytes, limits.page_bytes
        );
        broken.push(("max-scan-chunk-size", message));
    }
    if config.cache_bytes < LEAST_CACHE_BYTES {
        let (given, least) = (config.cache_bytes >> 20, LEAST_CACHE_BYTES >> 20);
        broken.push((
            "cache-mib",
            format!("{given} is less than {least}: 16 are for records, the rest for the engine"),
        ));
    }
    for (key, memory, largest, of) in [
        ("max-request-memory", limits.request_memory_bytes, limits.request_bytes as u64, "max-request-size"),
        ("max-answer-memory", limits.answer_memory_bytes, limits.page_bytes, "max-page-size"),
    ] {
        if (memory as u64) < 2 * largest {
            broken.push((key, format!("{memory} B is less than twice {of}, {largest} B")));
        }
    }
    if limits.connections > MOST_CONNECTIONS {
        broken.push(("max-connections", format!("{} is more than {MOST_CONNECTIONS}", limits.connections)));
    }
    if config.worker_threads > 256 {
        broken.push(("worker-threads", format!("{} is more than 256", config.worker_threads)));
    }
}
