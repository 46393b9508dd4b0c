//! The flags, checked: everything that follows can rely on the numbers.

use crate::bench::args::{Api, BenchArgs, Target, Workload, with_scheme};
use crate::bench::error::BenchError;
use serde::Serialize;
use std::time::Duration;

/// The longest run: everything here is bounded.
const LONGEST: Duration = Duration::from_secs(3600);

/// Any more often, and the compactions would be the load.
const SHORTEST_CYCLE: Duration = Duration::from_millis(100);

/// In which order keys are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One after the other, cyclically.
    Sequential,
    /// Each equally likely.
    Random,
}

/// The checked flags.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to measure, in this order.
    pub workloads: Vec<Workload>,
    /// Nodes to ask about the cluster; each has a scheme.
    pub endpoints: Vec<String>,
    pub api: Api,
    pub target: Target,
    pub connections: usize,
    /// Clients in all; at least one per connection.
    pub clients: usize,
    /// Threads; at most one per connection.
    pub threads: usize,
    /// Requests per second in the open loop.
    pub rate: Option<f64>,
    pub duration: Duration,
    /// How long to run before measuring.
    pub warmup: Duration,
    /// How many requests to send at most.
    pub requests: Option<u64>,
    pub request_timeout: Duration,
    pub value_size: usize,
    pub key_size: usize,
    pub key_space: u64,
    pub prefix: String,
    pub order: Order,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The share of reads in the mixed workload.
    pub read_share: f64,
    pub batch: u32,
    /// Whether to write all keys first.
    pub preload: bool,
    /// How often to compact all history.
    pub compact_every: Option<Duration>,
    /// The nodes' processes, if they run on this machine.
    pub server_pids: Vec<i32>,
    /// Whether to read a sample of the acknowledged writes back afterwards.
    pub verify: bool,
}

impl BenchArgs {
    /// Checks the flags against each other.
    ///
    /// # Errors
    /// [`BenchError::Usage`] names the flag, its value and what would be possible.
    pub fn plan(&self) -> Result<Plan, BenchError> {
        let digits = (self.key_space - 1).max(1).ilog10() as usize + 1;
        let key_least = self.prefix.len() + digits;
        require(self.key_size >= key_least, || {
            format!(
                "--key-size {} is too small: the prefix {:?} and a number below --key-space {} take {key_least} bytes",
                self.key_size, self.prefix, self.key_space
            )
        })?;
        require(self.clients >= self.connections, || {
            format!(
                "--clients {} are fewer than --connections {}: some would be idle",
                self.clients, self.connections
            )
        })?;
        require(self.threads <= self.connections, || {
            format!(
                "--threads {} are more than --connections {}: some would be idle",
                self.threads, self.connections
            )
        })?;
        require((0.0..=1.0).contains(&self.read_share), || {
            format!("--read-share {} is not between 0 and 1", self.read_share)
        })?;
        require(u64::from(self.batch) <= self.key_space, || {
            format!(
                "--batch {} is more than --key-space {}: one transaction may not put a key twice",
                self.batch, self.key_space
            )
        })?;
        let rate_fits = self.rate.is_none_or(|rate| (0.01..=10_000_000.0).contains(&rate));
        require(rate_fits, || "--rate must be between 0.01 and 10000000 per second".to_owned())?;
        for (flag, time) in [("--duration", self.duration), ("--request-timeout", self.request_timeout)] {
            let fits = !time.is_zero() && time <= LONGEST;
            require(fits, || format!("{flag} must be more than 0 s and at most 1 h"))?;
        }
        let compacts = self.compact_every.is_none_or(|every| every >= SHORTEST_CYCLE);
        require(compacts, || "--compact-every must be at least 100ms".to_owned())?;
        require(self.warmup <= LONGEST, || "--warmup must be at most 1 h".to_owned())?;
        let endpoints: Result<Vec<_>, _> =
            self.endpoints.iter().filter(|url| !url.trim().is_empty()).map(|url| with_scheme(url)).collect();
        Ok(Plan {
            workloads: self.workloads()?,
            endpoints: endpoints.map_err(BenchError::Usage)?,
            api: self.api,
            target: self.target.clone(),
            connections: self.connections as usize,
            clients: self.clients as usize,
            threads: self.threads as usize,
            rate: self.rate,
            duration: self.duration,
            warmup: self.warmup,
            requests: self.requests,
            request_timeout: self.request_timeout,
            value_size: self.value_size,
            key_size: self.key_size,
            key_space: self.key_space,
            prefix: self.prefix.clone(),
            order: if self.sequential { Order::Sequential } else { Order::Random },
            seed: self.seed,
            read_share: self.read_share,
            batch: self.batch,
            preload: self.preload,
            compact_every: self.compact_every,
            server_pids: self.server_pids.clone(),
            verify: self.verify,
        })
    }

    fn workloads(&self) -> Result<Vec<Workload>, BenchError> {
        let mut workloads = self.workload.workloads();
        if self.api == Api::Etcd {
            workloads.retain(|workload| *workload != Workload::Echo);
            require(!workloads.is_empty(), || "etcd's API has no empty call to measure as echo".to_owned())?;
        }
        Ok(workloads)
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), BenchError> {
    if holds { Ok(()) } else { Err(BenchError::Usage(otherwise())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<Plan, String> {
        let args = BenchArgs::parsed(line).map_err(|error| error.to_string())?;
        args.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn all_measures_echo_first() {
        let names: Vec<_> = plan("").unwrap().workloads.into_iter().map(Workload::name).collect();
        assert_eq!(names, ["echo", "put", "get", "local-get", "mixed"]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_the_numbers() {
        for (line, words) in [
            ("put --key-size 8 --key-space 1000", "--key-size 8 is too small"),
            ("put --clients 3 --connections 4", "--clients 3 are fewer than --connections 4"),
            ("put --threads 5", "--threads 5 are more than --connections 4"),
            ("mixed --read-share 1.5", "--read-share 1.5 is not between"),
            ("put --batch 20 --key-space 10", "--batch 20 is more than --key-space 10"),
            ("put --rate 0", "--rate must be"),
            ("put --duration 0s", "--duration must be more than 0 s"),
            ("put --duration soon", "not a valid duration"),
            ("put --duration 5", "not a valid duration"),
            ("put --target :::", "an IPv6 address needs brackets"),
            ("echo --api etcd", "no empty call"),
            ("put --compact-every 1ms", "--compact-every must be"),
            ("put --sequential --random", "cannot be used with"),
        ] {
            let error = plan(line).expect_err(line);
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn times_and_addresses_are_read_as_people_write_them() {
        let plan = plan("get --duration 1.5s --warmup 250ms --target 10.0.0.1:2379").unwrap();
        assert_eq!(plan.duration, Duration::from_millis(1500));
        assert_eq!(plan.warmup, Duration::from_millis(250));
        assert_eq!(plan.target, Target::Url("http://10.0.0.1:2379".into()));
        assert_eq!(plan.request_timeout, Duration::from_secs(5));
    }

    #[test]
    fn eight_byte_keys_are_possible() {
        assert!(plan("put --key-size 8 --key-space 1000000 --prefix b/").is_ok());
    }
}
