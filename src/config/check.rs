//! From text to values, and the rules between them. Nothing is repaired.

use crate::address::{HostPort, NodeUrl};
use crate::config::sources::{Origin, Settings};
use crate::config::{ConfigError, InitialMember, LogConfig, LogFormat, Problem, ServeConfig};
use crate::settings::{Limits, Timing};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// More voters cost more than they protect (each write waits for a majority).
const MOST_MEMBERS: usize = 15;

/// A duration that is longer than this is a mistake in the unit.
const LONGEST: Duration = Duration::from_secs(600);

/// A key is in every index entry and page token.
const MOST_KEY_BYTES: u64 = 64 << 10;

/// What a request puts is written to the state at once, and the engine, which makes three times as much of it,
/// must not have 16 MiB unsynced.
const MOST_REQUEST_BYTES: u64 = 4 << 20;

/// Clients take no larger answer.
const MOST_PAGE_BYTES: u64 = 64 << 20;

/// A chunk is what a stream holds in memory at a time.
const MOST_CHUNK_BYTES: u64 = 4 << 20;

pub(super) fn check(settings: &Settings) -> Result<ServeConfig, ConfigError> {
    let mut reader = Reader { settings, problems: Vec::new() };
    let config = reader.config();
    let mut problems = reader.problems;
    // What follows from a wrong value is wrong for the same reason, and is not told twice.
    let derived = |problem: &Problem| matches!(problem.origin, Some(Origin::Derived(_)));
    if problems.iter().any(|problem| !derived(problem)) {
        problems.retain(|problem| !derived(problem));
    }
    if problems.is_empty() {
        problems = validate(&config)
            .into_iter()
            .map(|(key, message)| Problem {
                key: key.to_owned(),
                message,
                origin: Some(settings.get(key).origin.clone()),
            })
            .collect();
    }
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
}

/// The timing preset with this name.
pub(super) fn preset(name: &str) -> Result<Timing, String> {
    match name {
        "lan" => Ok(Timing::default()),
        "fast" => Ok(Timing::fast()),
        "wan" => Ok(Timing::wan()),
        other => Err(format!("`{other}` is no preset; choose lan, fast or wan")),
    }
}

/// Reads values one by one and collects what is wrong with them.
struct Reader<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read<T: Default>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let given = self.settings.get(key);
        parse(&given.text).unwrap_or_else(|message| {
            let origin = Some(given.origin.clone());
            self.problems.push(Problem { key: key.to_owned(), message, origin });
            T::default()
        })
    }

    fn config(&mut self) -> ServeConfig {
        ServeConfig {
            name: self.read("name", name),
            data_dir: self.read("data-dir", directory),
            listen_client: self.read("listen-client", host_port),
            advertise_client: self.read("advertise-client", url),
            listen_peer: self.read("listen-peer", host_port),
            advertise_peer: self.read("advertise-peer", url),
            initial_cluster: self.read("initial-cluster", members),
            cluster_token: self.read("cluster-token", token),
            timing: self.timing(),
            limits: self.limits(),
            snapshot_rate_bytes: self.read("snapshot-rate", size),
            log_retain_entries: self.read("log-retain-entries", count),
            log_retain_bytes: self.read("log-retain-size", size),
            disk_reserve_bytes: self.read("disk-reserve", size),
            worker_threads: self.read("worker-threads", count),
            cache_bytes: self.read("cache-mib", |text| Ok(count::<u64>(text)?.saturating_mul(1 << 20))),
            fsync: !self.read("unsafe-no-fsync", truth),
            log: LogConfig {
                filter: self.read("log-level", log_filter),
                format: self.read("log-format", log_format),
            },
        }
    }

    fn timing(&mut self) -> Timing {
        self.read("timing", |text| preset(text).map(drop));
        Timing {
            tick: self.read("tick-ms", millis),
            heartbeat: self.read("heartbeat-ms", millis),
            election_min: self.read("election-min-ms", millis),
            election_max: self.read("election-max-ms", millis),
        }
    }

    fn limits(&mut self) -> Limits {
        Limits {
            key_bytes: self.read("max-key-size", size),
            request_bytes: self.read("max-request-size", size),
            txn_ops: self.read("max-txn-ops", count),
            page_keys: self.read("max-page-keys", count),
            page_bytes: self.read("max-page-size", size),
            scan_chunk_bytes: self.read("max-scan-chunk-size", size),
            reply_bytes: Limits::default().reply_bytes,
            streams_per_connection: self.read("max-streams", count),
            requests_in_flight: self.read("max-requests", count),
            default_deadline: self.read("default-deadline-ms", millis),
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err(format!("`{text}` is no name; use 1 to 64 letters, digits, `-`, `_` and `.`"));
    }
    Ok(text.to_owned())
}

fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn token(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn host_port(text: &str) -> Result<String, String> {
    HostPort::parse(text).map(|address| address.to_string())
}

fn url(text: &str) -> Result<String, String> {
    NodeUrl::parse(text).map(|url| url.to_string())
}

fn members(text: &str) -> Result<Vec<InitialMember>, String> {
    let member = |part: &str| {
        let (left, right) = part
            .split_once('=')
            .ok_or_else(|| format!("`{part}` has no `=`; write n1=http://host:2380,n2=http://host:2380"))?;
        Ok(InitialMember { name: name(left.trim())?, peer_url: url(right.trim())? })
    };
    let mut members: Vec<InitialMember> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(member)
        .collect::<Result<_, String>>()?;
    if members.is_empty() {
        return Err("names no node; write n1=http://host:2380,n2=http://host:2380".to_owned());
    }
    members.sort();
    Ok(members)
}

fn millis(text: &str) -> Result<Duration, String> {
    let duration = Duration::from_millis(count(text)?);
    if duration > LONGEST {
        return Err(format!(
            "{text} ms is longer than {} minutes; is the unit right?",
            LONGEST.as_secs() / 60
        ));
    }
    Ok(duration)
}

fn count<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match text.replace('_', "").parse::<T>() {
        Ok(number) if number != T::default() => Ok(number),
        Ok(_) => Err("must be at least 1".to_owned()),
        Err(_) => Err(format!("`{text}` is no whole number that fits")),
    }
}

/// Bytes: `65536`, `64KiB`, `4 MiB`, `1GiB`.
fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => {
            return Err(format!("`{text}` is no size; write bytes or a number with KiB, MiB or GiB"));
        }
    };
    count::<u64>(number)?
        .checked_mul(factor)
        .and_then(|bytes| T::try_from(bytes).ok())
        .ok_or_else(|| format!("`{text}` is too large for this machine"))
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(format!("`{text}` is no log filter ({error}); write info, or info,kontiki::raft=debug"))
        }
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "plain" => Ok(LogFormat::Plain),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("`{other}` is no log format; choose auto, plain or json")),
    }
}

/// The rules between settings: each that is broken, with the key to change.
pub fn validate(config: &ServeConfig) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    cluster_rules(config, &mut broken);
    address_rules(config, &mut broken);
    timing_rules(&config.timing, &mut broken);
    limit_rules(config, &mut broken);
    broken
}

type Broken = Vec<(&'static str, String)>;

fn cluster_rules(config: &ServeConfig, broken: &mut Broken) {
    let members = &config.initial_cluster;
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut urls: Vec<&str> = members.iter().map(|member| member.peer_url.as_str()).collect();
    names.sort_unstable();
    urls.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        broken.push(("initial-cluster", format!("names `{}` twice", twice[0])));
    }
    if let Some(twice) = urls.windows(2).find(|pair| pair[0] == pair[1]) {
        broken.push(("initial-cluster", format!("has two nodes at {}", twice[0])));
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
        Some(own) if own.peer_url != config.advertise_peer => broken.push((
            "advertise-peer",
            format!(
                "is {}, but initial-cluster says that {} is at {}",
                config.advertise_peer, own.name, own.peer_url
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
            "what a request puts is written to the state in one piece",
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
    if config.worker_threads > 256 {
        broken.push(("worker-threads", format!("{} is more than 256", config.worker_threads)));
    }
}
