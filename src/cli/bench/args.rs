//! The flags of `kontiki bench`, and the checked plan that they make.

use crate::cli::bench::error::BenchError;
use clap::ValueEnum;
use serde::Serialize;
use std::str::FromStr;
use std::time::Duration;

/// The longest run: everything here is bounded.
const LONGEST: Duration = Duration::from_secs(3600);

/// Measure how fast a cluster is.
///
/// Writes and reads keys that begin with `bench/`, and leaves them there
/// (`kontiki delete --prefix bench/`). Prints first what it runs against.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// What to do
    #[arg(value_enum, default_value = "all")]
    pub workload: Selection,

    /// Any nodes of the cluster, separated by commas
    #[arg(
        long,
        value_name = "URL,…",
        env = "KONTIKI_ENDPOINTS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    pub endpoints: Vec<String>,

    /// Which node to load: `leader`, `any` (connections spread over all nodes), or a URL
    #[arg(long, value_name = "leader|any|URL", default_value = "leader")]
    pub target: Target,

    /// How many connections, each an HTTP/2 channel of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,

    /// How many clients in all, shared among the connections; each has one request under way
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub clients: u32,

    /// How many threads of this program send requests
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,

    /// Open loop: so many requests per second are due, whatever the answers take
    ///
    /// Latency is then measured from when a request was due, so that a stall
    /// is seen by all requests that it delayed. Without it (closed loop) each
    /// client sends when it has its last answer, and a stall hides itself.
    #[arg(long, value_name = "PER-SECOND")]
    pub rate: Option<f64>,

    /// How long to measure, for each workload
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,

    /// How long to run before measuring, for each workload
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub warmup: Duration,

    /// The deadline of a request
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub request_timeout: Duration,

    /// Bytes per value
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    pub value_size: usize,

    /// Bytes per key, its prefix included
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    pub key_size: usize,

    /// How many different keys
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub key_space: u64,

    /// What the keys begin with
    #[arg(long, value_name = "TEXT", default_value = "bench/")]
    pub prefix: String,

    /// Take the keys in order
    #[arg(long, conflicts_with = "random")]
    pub sequential: bool,

    /// Take the keys at random, all equally likely; the default
    #[arg(long)]
    pub random: bool,

    /// Where the random numbers start: the same seed, the same keys and values
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Of the mixed workload, how much is reads: 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub read_share: f64,

    /// Puts per request, as one transaction on neighbouring keys
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,

    /// Write every key once before the first workload
    #[arg(long)]
    pub preload: bool,

    /// After each workload that writes, read a sample of the acknowledged keys back and compare
    #[arg(long)]
    pub verify: bool,

    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Selection {
    /// Every workload: echo first, the others also as a share of it
    All,
    /// An empty call: what gRPC alone can do here
    Echo,
    /// Durable writes
    Put,
    /// Linearizable reads
    Get,
    /// Reads of what the node has at hand, possibly old
    LocalGet,
    /// Linearizable reads and writes
    Mixed,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Empty calls.
    Echo,
    /// Writes.
    Put,
    /// Linearizable reads.
    Get,
    /// Local reads.
    LocalGet,
    /// Linearizable reads and writes.
    Mixed,
}

impl Workload {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Put => "put",
            Self::Get => "get",
            Self::LocalGet => "local-get",
            Self::Mixed => "mixed",
        }
    }

    /// Whether it writes keys.
    pub fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Mixed)
    }
}

impl Selection {
    fn workloads(self) -> Vec<Workload> {
        match self {
            Self::All => {
                vec![
                    Workload::Echo,
                    Workload::Put,
                    Workload::Get,
                    Workload::LocalGet,
                    Workload::Mixed,
                ]
            }
            Self::Echo => vec![Workload::Echo],
            Self::Put => vec![Workload::Put],
            Self::Get => vec![Workload::Get],
            Self::LocalGet => vec![Workload::LocalGet],
            Self::Mixed => vec![Workload::Mixed],
        }
    }
}

/// Which node gets the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The leader at the time.
    Leader,
    /// All nodes in turn.
    Any,
    /// This one.
    Url(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "leader" => Ok(Self::Leader),
            "any" => Ok(Self::Any),
            url => Ok(Self::Url(with_scheme(url)?)),
        }
    }
}

/// How to print the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// In which order keys are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One after the other, from the first again after the last.
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
    /// Which node gets the load.
    pub target: Target,
    /// Channels.
    pub connections: usize,
    /// Clients in all; at least one per connection.
    pub clients: usize,
    /// Threads; at most one per connection.
    pub threads: usize,
    /// Requests per second in the open loop.
    pub rate: Option<f64>,
    /// How long to measure.
    pub duration: Duration,
    /// How long to run before.
    pub warmup: Duration,
    /// The deadline of a request.
    pub request_timeout: Duration,
    /// Bytes per value.
    pub value_size: usize,
    /// Bytes per key.
    pub key_size: usize,
    /// How many keys.
    pub key_space: u64,
    /// What keys begin with.
    pub prefix: String,
    /// In which order they are taken.
    pub order: Order,
    /// Where random numbers start.
    pub seed: u64,
    /// The share of reads in the mixed workload.
    pub read_share: f64,
    /// Puts per request.
    pub batch: u32,
    /// Write all keys first.
    pub preload: bool,
    /// Read back afterwards.
    pub verify: bool,
}

impl BenchArgs {
    /// Checks what the flags mean together.
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
        require(rate_fits, || {
            "--rate must be between 0.01 and 10000000 per second".to_owned()
        })?;
        for (flag, time) in [
            ("--duration", self.duration),
            ("--request-timeout", self.request_timeout),
        ] {
            let fits = !time.is_zero() && time <= LONGEST;
            require(fits, || format!("{flag} must be more than 0 s and at most 1 h"))?;
        }
        require(self.warmup <= LONGEST, || {
            "--warmup must be at most 1 h".to_owned()
        })?;
        let endpoints: Result<Vec<_>, _> = self.endpoints.iter().map(|url| with_scheme(url)).collect();
        Ok(Plan {
            workloads: self.workload.workloads(),
            endpoints: endpoints.map_err(BenchError::Usage)?,
            target: self.target.clone(),
            connections: self.connections as usize,
            clients: self.clients as usize,
            threads: self.threads as usize,
            rate: self.rate,
            duration: self.duration,
            warmup: self.warmup,
            request_timeout: self.request_timeout,
            value_size: self.value_size,
            key_size: self.key_size,
            key_space: self.key_space,
            prefix: self.prefix.clone(),
            order: if self.sequential {
                Order::Sequential
            } else {
                Order::Random
            },
            seed: self.seed,
            read_share: self.read_share,
            batch: self.batch,
            preload: self.preload,
            verify: self.verify,
        })
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), BenchError> {
    if holds {
        Ok(())
    } else {
        Err(BenchError::Usage(otherwise()))
    }
}

fn with_scheme(url: &str) -> Result<String, String> {
    let full = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    match full.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some() && uri.scheme_str() == Some("http") => Ok(full),
        Ok(_) => Err(format!("{url:?} is not an address like http://127.0.0.1:2379")),
        Err(error) => Err(format!(
            "{url:?} is not an address like http://127.0.0.1:2379: {error}"
        )),
    }
}

/// `500ms`, `10s`, `2m`, or a plain number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("{text:?} is not a time like 500ms, 10s or 2m")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a time like 500ms, 10s or 2m"))?;
    Duration::try_from_secs_f64(number * factor).map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.args.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn all_measures_echo_first() {
        let names: Vec<_> = plan("")
            .unwrap()
            .workloads
            .into_iter()
            .map(Workload::name)
            .collect();
        assert_eq!(names, ["echo", "put", "get", "local-get", "mixed"]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_the_numbers() {
        for (line, words) in [
            ("put --key-size 8 --key-space 1000", "--key-size 8 is too small"),
            (
                "put --clients 3 --connections 4",
                "--clients 3 are fewer than --connections 4",
            ),
            ("put --threads 5", "--threads 5 are more than --connections 4"),
            ("mixed --read-share 1.5", "--read-share 1.5 is not between"),
            (
                "put --batch 20 --key-space 10",
                "--batch 20 is more than --key-space 10",
            ),
            ("put --rate 0", "--rate must be"),
            ("put --duration 0s", "--duration must be more than 0 s"),
            ("put --duration soon", "not a time"),
            ("put --target :::", "not an address"),
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
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn eight_byte_keys_are_possible() {
        assert!(plan("put --key-size 8 --key-space 1000000 --prefix b/").is_ok());
    }
}
