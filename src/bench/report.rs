//! The result as data. Its JSON form is read by programs: fields are added, never renamed.

use crate::bench::args::{Api, Target, Workload};
use crate::bench::cluster::{Cluster, Leader};
use crate::bench::load::Run;
use crate::bench::machine;
use crate::bench::plan::{Order, Plan};
use crate::bench::recorder::{Kind, Meter};
use crate::bench::verify::Verification;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything about one call of `kontiki bench`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The form of this report: 1.
    pub schema: u32,
    /// What sent the load.
    pub client: ClientSide,
    /// What received it.
    pub cluster: Cluster,
    /// How it was sent.
    pub settings: Settings,
    /// One result per workload, in the order they ran.
    pub results: Vec<Outcome>,
    /// Whether it was stopped before its time.
    pub interrupted: bool,
    /// Why the remaining workloads did not take place, if so.
    pub broken_off: Option<String>,
}

/// The program and the machine that sent the load.
#[derive(Clone, Debug, Serialize)]
pub struct ClientSide {
    /// This program's version.
    pub version: &'static str,
    /// `release` or `debug`; the figures of a debug build say nothing.
    pub build: &'static str,
    /// Processors that it may use, often shared with the nodes.
    pub cores: usize,
}

/// The plan, as far as figures depend on it.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// `closed` or `open`.
    #[serde(rename = "loop")]
    pub loop_kind: &'static str,
    /// From when latency is measured: `sent` or `due`.
    pub latency_from: &'static str,
    /// Which API was spoken.
    pub api: Api,
    /// Requests per second in the open loop.
    pub rate: Option<f64>,
    /// `leader`, `any` or a URL.
    pub target: String,
    /// Where the connections went.
    pub urls: Vec<String>,
    /// Channels.
    pub connections: usize,
    /// Clients in all.
    pub clients: usize,
    /// Threads.
    pub threads: usize,
    /// Seconds measured per workload.
    pub duration_seconds: f64,
    /// Seconds before.
    pub warmup_seconds: f64,
    /// Bytes per value.
    pub value_size: usize,
    /// Bytes per key.
    pub key_size: usize,
    /// How many keys.
    pub key_space: u64,
    /// In which order.
    pub order: Order,
    /// Where random numbers start.
    pub seed: u64,
    /// Puts per request.
    pub batch: u32,
    /// Share of reads in the mixed workload.
    pub read_share: f64,
    /// Whether all keys were written before.
    pub preloaded: bool,
}

/// What one workload did.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Which.
    pub workload: Workload,
    /// How long was measured.
    pub seconds: f64,
    /// All requests together.
    #[serde(flatten)]
    pub total: Figures,
    /// The mixed workload's reads alone.
    pub reads: Option<Figures>,
    /// The mixed workload's writes alone.
    pub writes: Option<Figures>,
    /// Requests per second as a share of those of the echo workload, if that ran.
    pub share_of_echo: Option<f64>,
    /// Reads that found no key.
    pub missing: u64,
    /// Failed requests by reason.
    pub errors: BTreeMap<String, Errors>,
    /// Requests that had no answer in the end.
    pub abandoned: u64,
    /// In the open loop: requests that were due and could not be sent.
    pub unsent: u64,
    /// Processor seconds of this program, all threads.
    pub client_cpu_seconds: f64,
    /// Processor seconds of the nodes, if their processes are known.
    pub server_cpu_seconds: Option<f64>,
    /// Compactions meanwhile.
    pub compactions: u64,
    /// The share of this machine's time that went to other machines on the same host.
    pub stolen_share: Option<f64>,
    /// Set if there was an election meanwhile, which makes the figures those of a failover.
    pub leader_change: Option<LeaderChange>,
    /// What reading back found.
    pub verification: Option<Verification>,
}

/// Speed.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Answered requests.
    pub requests: u64,
    /// Answered requests per second.
    pub requests_per_second: f64,
    /// Keys read or written, or empty calls.
    pub operations: u64,
    /// The same per second.
    pub operations_per_second: f64,
    /// From sending, or in the open loop from when the request was due, to the answer.
    pub latency: Option<Latency>,
    /// In the open loop: from sending to the answer.
    pub service_time: Option<Latency>,
}

/// Percentiles in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean_us: f64,
    /// Half are below.
    pub p50_us: f64,
    /// 90 % are below.
    pub p90_us: f64,
    /// 99 % are below.
    pub p99_us: f64,
    /// 99.9 % are below.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// Failures for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// How many.
    pub count: u64,
    /// What the first one said.
    pub example: String,
}

/// Who led before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaderChange {
    /// Before the workload.
    pub before: Option<Leader>,
    /// After it.
    pub after: Option<Leader>,
}

impl Report {
    /// A report without results yet.
    pub fn new(plan: &Plan, cluster: Cluster, urls: Vec<String>) -> Self {
        Self {
            schema: 1,
            client: ClientSide {
                version: env!("CARGO_PKG_VERSION"),
                build: if cfg!(debug_assertions) { "debug" } else { "release" },
                cores: machine::cores(),
            },
            cluster,
            settings: Settings::new(plan, urls),
            results: Vec::new(),
            interrupted: false,
            broken_off: None,
        }
    }

    /// Requests per second of the echo workload.
    pub fn echo_rate(&self) -> Option<f64> {
        let echo = self.results.iter().find(|outcome| outcome.workload == Workload::Echo)?;
        Some(echo.total.requests_per_second).filter(|rate| *rate > 0.0)
    }

    /// Whether something was found that makes figures void, or nothing was measured at all.
    pub fn failed(&self) -> bool {
        let void = |outcome: &Outcome| {
            outcome.total.requests == 0 || outcome.verification.as_ref().is_some_and(|v| !v.is_clean())
        };
        self.broken_off.is_some() || self.results.iter().any(void)
    }
}

impl Settings {
    fn new(plan: &Plan, urls: Vec<String>) -> Self {
        let open = plan.rate.is_some();
        Self {
            loop_kind: if open { "open" } else { "closed" },
            latency_from: if open { "due" } else { "sent" },
            api: plan.api,
            rate: plan.rate,
            target: match &plan.target {
                Target::Leader => "leader".to_owned(),
                Target::Any => "any".to_owned(),
                Target::Url(url) => url.clone(),
            },
            urls,
            connections: plan.connections,
            clients: plan.clients,
            threads: plan.threads,
            duration_seconds: plan.duration.as_secs_f64(),
            warmup_seconds: plan.warmup.as_secs_f64(),
            value_size: plan.value_size,
            key_size: plan.key_size,
            key_space: plan.key_space,
            order: plan.order,
            seed: plan.seed,
            batch: plan.batch,
            read_share: plan.read_share,
            preloaded: plan.preload,
        }
    }
}

impl Outcome {
    /// The figures of a run.
    pub fn new(workload: Workload, run: &Run, echo_rate: Option<f64>) -> Self {
        let recorder = &run.recorder;
        let total = Figures::new(&recorder.total(), run.seconds);
        let part =
            |kind| (workload == Workload::Mixed).then(|| Figures::new(recorder.meter(kind), run.seconds));
        let share = echo_rate.map(|rate| total.requests_per_second / rate);
        Self {
            workload,
            seconds: run.seconds,
            reads: part(Kind::Read),
            writes: part(Kind::Write),
            share_of_echo: share.filter(|_| workload != Workload::Echo),
            missing: recorder.missing,
            errors: recorder
                .failures
                .iter()
                .map(|(reason, f)| (reason.clone(), Errors { count: f.count, example: f.example.clone() }))
                .collect(),
            abandoned: recorder.abandoned,
            unsent: recorder.unsent,
            client_cpu_seconds: run.own_cpu.as_secs_f64(),
            server_cpu_seconds: run.server_cpu.map(|time| time.as_secs_f64()),
            compactions: recorder.compactions,
            stolen_share: run.stolen,
            leader_change: None,
            verification: None,
            total,
        }
    }

    /// How many requests failed.
    pub fn error_count(&self) -> u64 {
        self.errors.values().map(|errors| errors.count).sum()
    }
}

impl Figures {
    fn new(meter: &Meter, seconds: f64) -> Self {
        let per_second = |count: u64| {
            if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
        };
        Self {
            requests: meter.requests(),
            requests_per_second: per_second(meter.requests()),
            operations: meter.operations,
            operations_per_second: per_second(meter.operations),
            latency: Latency::new(&meter.latency),
            service_time: Latency::new(&meter.service),
        }
    }
}

impl Latency {
    fn new(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| microseconds(histogram.value_at_quantile(quantile) as f64);
        (!histogram.is_empty()).then(|| Self {
            mean_us: microseconds(histogram.mean()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: microseconds(histogram.max() as f64),
        })
    }
}

/// To a tenth: more digits than the histogram keeps would only pretend.
fn microseconds(nanoseconds: f64) -> f64 {
    (nanoseconds / 100.0).round() / 10.0
}
