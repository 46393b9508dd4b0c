//! The flags of `kontiki bench`.

use crate::address::NodeUrl;
use crate::units;
use clap::ValueEnum;
use serde::Serialize;
use std::str::FromStr;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  kontiki bench                                           every workload, ten seconds each
  kontiki bench put --clients 1                           one durable write after the other
  kontiki bench put --rate 3000 --compact-every 10s       a steady load, and how long it is held up
  kontiki bench get --key-space 100000 --preload -o json
";

/// Measure how fast a cluster is.
///
/// Writes and reads keys that begin with `bench/`, and leaves them there
/// (`kontiki delete --prefix bench/ --in-parts`). Prints first what it runs against.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct BenchArgs {
    /// What to do
    #[arg(value_enum, default_value = "all")]
    pub workload: Selection,

    /// Any nodes of the cluster; set from the flag that all commands have.
    #[arg(skip)]
    pub endpoints: Vec<String>,

    /// Which API to speak
    #[arg(long, value_enum, default_value = "native")]
    pub api: Api,

    /// Where to send the load: `leader`, `any` (connections spread over all nodes), or a URL
    #[arg(long, value_name = "leader|any|URL", default_value = "leader")]
    pub target: Target,

    /// How many connections, each its own HTTP/2 channel
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,

    /// How many clients in all, spread over the connections; each has one request under way
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub clients: u32,

    /// How many threads of this program send requests
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,

    /// Open loop: send this many requests per second, however long the answers take
    ///
    /// Latency is then measured from when a request was due, so that a stall shows in every request that it
    /// delayed. Without it (closed loop) each client sends once it has its last answer, and a stall hides
    /// itself.
    #[arg(long, value_name = "PER-SECOND")]
    pub rate: Option<f64>,

    /// How long to measure, for each workload
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub duration: Duration,

    /// Stop a workload once it has sent this many requests, including those of the warm-up
    #[arg(long, value_name = "N", conflicts_with = "rate", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,

    /// How long to run before measuring, for each workload
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::duration)]
    pub warmup: Duration,

    /// The deadline of a request
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub request_timeout: Duration,

    /// Bytes per value
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    pub value_size: usize,

    /// Bytes per key, including its prefix
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    pub key_size: usize,

    /// How many different keys
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub key_space: u64,

    /// The prefix of the keys
    #[arg(long, value_name = "TEXT", default_value = "bench/")]
    pub prefix: String,

    /// Take the keys in order
    #[arg(long, conflicts_with = "random")]
    pub sequential: bool,

    /// Take the keys at random, all equally likely; the default
    #[arg(long)]
    pub random: bool,

    /// The seed of the random numbers: the same seed makes the same keys and values
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// The share of reads in the mixed workload: 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    pub read_share: f64,

    /// Puts per request, as one transaction on neighboring keys
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,

    /// Write every key once before the first workload
    #[arg(long)]
    pub preload: bool,

    /// Compact all history this often while the load runs
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub compact_every: Option<Duration>,

    /// The process ids of the nodes, if they run on this machine: their CPU time is measured too
    #[arg(long, value_name = "PIDS", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(1..))]
    pub server_pids: Vec<i32>,

    /// After each workload that writes, read a sample of the acknowledged keys back and compare
    #[arg(long)]
    pub verify: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Selection {
    /// Every workload: echo first, and the others also as a share of it
    All,
    /// An empty call: the most that gRPC can do here
    Echo,
    /// Durable writes
    Put,
    /// Linearizable reads
    Get,
    /// Reads of what the asked node has, possibly stale
    LocalGet,
    /// Linearizable reads and writes
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    Echo,
    Put,
    Get,
    LocalGet,
    Mixed,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Put => "put",
            Self::Get => "get",
            Self::LocalGet => "local-get",
            Self::Mixed => "mixed",
        }
    }

    pub fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Mixed)
    }
}

impl Selection {
    /// What it consists of, in order.
    pub fn workloads(self) -> Vec<Workload> {
        match self {
            Self::All => {
                vec![Workload::Echo, Workload::Put, Workload::Get, Workload::LocalGet, Workload::Mixed]
            }
            Self::Echo => vec![Workload::Echo],
            Self::Put => vec![Workload::Put],
            Self::Get => vec![Workload::Get],
            Self::LocalGet => vec![Workload::LocalGet],
            Self::Mixed => vec![Workload::Mixed],
        }
    }
}

/// The API that the servers speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// Kontiki's own
    #[default]
    Native,
    /// etcd's v3 API: measures etcd with the same load. It has no echo
    Etcd,
}

impl Api {
    pub fn server(self) -> &'static str {
        match self {
            Self::Native => "kontiki",
            Self::Etcd => "etcd",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The leader at the time.
    Leader,
    /// All nodes in turn.
    Any,
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

/// A URL, prefixed with `http://` if it has no scheme.
///
/// # Errors
/// If it is not an address.
pub fn with_scheme(url: &str) -> Result<String, String> {
    NodeUrl::parse_endpoint(url.trim()).map(|url| url.to_string())
}

#[cfg(test)]
impl BenchArgs {
    /// The flags of a command line, without the program's name.
    pub(crate) fn parsed(line: &str) -> Result<Self, clap::Error> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: BenchArgs,
        }
        let words = std::iter::once("bench").chain(line.split_whitespace());
        <Line as clap::Parser>::try_parse_from(words).map(|line| line.args)
    }
}
