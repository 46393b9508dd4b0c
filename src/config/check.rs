//! From settings to a configuration, or to a list of everything that is wrong with them. Nothing is repaired.

use crate::config::arguments::ServeArgs;
use crate::config::error::{ConfigError, Problem};
use crate::config::origin::Origin;
use crate::config::serve_config::{LogConfig, ServeConfig, node_id};
use crate::config::sources::Settings;
use crate::config::{parse, rules};
use crate::member::Member;
use crate::settings::{Limits, Timing};

impl ServeArgs {
    /// The checked configuration, from the flags, the process's environment and the file.
    pub fn load(&self) -> Result<ServeConfig, ConfigError> {
        self.resolve(&|name| std::env::var_os(name))?.check()
    }
}

impl Settings {
    /// Checks all values and the rules between them.
    pub fn check(&self) -> Result<ServeConfig, ConfigError> {
        check(self)
    }
}

fn check(settings: &Settings) -> Result<ServeConfig, ConfigError> {
    let mut reader = ValueReader { settings, problems: Vec::new() };
    let config = reader.config();
    let mut problems = reader.problems;
    // What derives from a wrong value is wrong for the same reason, and is not reported twice.
    let derived = |problem: &Problem| matches!(problem.origin, Some(Origin::Derived(_)));
    if problems.iter().any(|problem| !derived(problem)) {
        problems.retain(|problem| !derived(problem));
    }
    if problems.is_empty() {
        problems = rules::broken(&config)
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

/// Parses values one by one and collects what is wrong with them.
struct ValueReader<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl ValueReader<'_> {
    fn read<T: Default>(&mut self, key: &str, parsed: impl Fn(&str) -> Result<T, String>) -> T {
        let given = self.settings.get(key);
        parsed(&given.text).unwrap_or_else(|message| {
            let origin = Some(given.origin.clone());
            self.problems.push(Problem { key: key.to_owned(), message, origin });
            T::default()
        })
    }

    fn config(&mut self) -> ServeConfig {
        let cluster_token = self.read("cluster-token", parse::token);
        ServeConfig {
            name: self.read("name", parse::name),
            data_dir: self.read("data-dir", parse::directory),
            listen_client: self.read("listen-client", parse::host_port),
            advertise_client: self.read("advertise-client", parse::url),
            listen_peer: self.read("listen-peer", parse::host_port),
            advertise_peer: self.read("advertise-peer", parse::url),
            initial_cluster: self.members(&cluster_token),
            cluster_token,
            cluster_secret_file: self.read("cluster-secret-file", parse::optional_file),
            create_cluster_secret: self.read("create-cluster-secret", parse::truth),
            timing: self.timing(),
            limits: self.limits(),
            snapshot_rate_bytes: self.read("snapshot-rate", parse::size),
            log_retain_entries: self.read("log-retain-entries", parse::count),
            log_retain_bytes: self.read("log-retain-size", parse::size),
            disk_reserve_bytes: self.read("disk-reserve", parse::size),
            worker_threads: self.read("worker-threads", parse::count),
            cache_bytes: self
                .read("cache-mib", |text| Ok(parse::count::<u64>(text)?.saturating_mul(1 << 20))),
            fsync: !self.read("unsafe-no-fsync", parse::truth),
            log: LogConfig {
                filter: self.read("log-level", parse::log_filter),
                format: self.read("log-format", parse::log_format),
            },
        }
    }

    fn members(&mut self, token: &str) -> Vec<Member> {
        let listed = self.read("initial-cluster", parse::members);
        let member = |(name, url): (String, String)| Member {
            peer_urls: vec![url],
            ..Member::named(node_id(token, &name), name)
        };
        listed.into_iter().map(member).collect()
    }

    fn timing(&mut self) -> Timing {
        self.read("timing", |text| parse::preset(text).map(drop));
        Timing {
            tick: self.read("tick-ms", parse::millis),
            heartbeat: self.read("heartbeat-ms", parse::millis),
            election_min: self.read("election-min-ms", parse::millis),
            election_max: self.read("election-max-ms", parse::millis),
        }
    }

    fn limits(&mut self) -> Limits {
        Limits {
            key_bytes: self.read("max-key-size", parse::size),
            request_bytes: self.read("max-request-size", parse::size),
            txn_ops: self.read("max-txn-ops", parse::count),
            page_keys: self.read("max-page-keys", parse::count),
            page_bytes: self.read("max-page-size", parse::size),
            scan_chunk_bytes: self.read("max-scan-chunk-size", parse::size),
            reply_bytes: Limits::default().reply_bytes,
            connections: self.read("max-connections", parse::count),
            connections_per_address: self.read("max-connections-per-address", parse::count),
            streams_per_connection: self.read("max-streams", parse::count),
            requests_in_flight: self.read("max-requests", parse::count),
            request_memory_bytes: self.read("max-request-memory", parse::size),
            answer_memory_bytes: self.read("max-answer-memory", parse::size),
            default_deadline: self.read("default-deadline-ms", parse::millis),
        }
    }
}
