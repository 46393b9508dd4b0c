//! The result as data. Its JSON form is read by programs: fields may be added, but are never renamed.

use crate::bench::args::{Api, Target, Workload};
use crate::bench::cluster::{Cluster, Leader};
use crate::bench::load::Run;
use crate::bench::machine;
use crate::bench::plan::{Order, Plan};
use crate::bench::recorder::{Meter, RequestKind};
use crate::bench::verify::Verification;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything about one call of `kontiki bench`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this format: 1.
    pub schema: u32,
    pub client: ClientSide,
    pub cluster: Cluster,
    pub settings: Settings,
    /// One result per workload, in the order they ran.
    pub results: Vec<WorkloadResult>,
    /// Whether it was stopped early.
    pub interrupted: bool,
    /// Why the remaining workloads were not run, if so.
    pub broken_off: Option<String>,
}

/// The program and the machine that sent the load.
#[derive(Clone, Debug, Serialize)]
pub struct ClientSide {
    pub version: &'static str,
    /// `release` or `debug`; the figures of a debug build mean nothing.
    pub build: &'static str,
    /// How many processors it may use, often shared with the nodes.
    pub cores: usize,
}

/// The parts of the plan that the figures depend on.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// `closed` or `open`.
    #[serde(rename = "loop")]
    pub loop_kind: &'static str,
    /// From when latency is measured: `sent` or `due`.
    pub latency_from: &'static str,
    pub api: Api,
    /// Requests per second in the open loop.
    pub rate: Option<f64>,
    /// `leader`, `any` or a URL.
    pub target: String,
    /// The URLs connected to.
    pub urls: Vec<String>,
    pub connections: usize,
    pub clients: usize,
    pub threads: usize,
    /// Seconds measured per workload.
    pub duration_seconds: f64,
    /// Seconds of warm-up before that.
    pub warmup_seconds: f64,
    pub value_size: usize,
    pub key_size: usize,
    pub key_space: u64,
    pub order: Order,
    /// The seed of all random numbers.
    pub seed: u64,
    pub batch: u32,
    /// Share of reads in the mixed workload.
    pub read_share: f64,
    /// Whether all keys were written before.
    pub preloaded: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct WorkloadResult {
    pub workload: Workload,
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
    pub missing: u64,
    pub errors: BTreeMap<String, Errors>,
    /// Requests that never got an answer.
    pub abandoned: u64,
    /// In the open loop: requests that were due and could not be sent.
    pub unsent: u64,
    /// In the open loop: operations that succeeded in a second of the measured time, whenever they were due. What is
    /// left of the throughput under too much load.
    pub goodput_per_second: Option<f64>,
    /// Processor seconds of this program, all threads.
    pub client_cpu_seconds: f64,
    /// Processor seconds of the nodes, if their processes are known.
    pub server_cpu_seconds: Option<f64>,
    pub compactions: u64,
    /// The share of this machine's processor time that went to other machines on the same host.
    pub stolen_share: Option<f64>,
    /// Set if there was an election meanwhile, which makes the figures those of a failover.
    pub leader_change: Option<LeaderChange>,
    pub verification: Option<Verification>,
    /// The longest that a state machine was busy with one entry, by the end of this workload and since its node
    /// started: every other write waits meanwhile.
    pub longest_apply_ms: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub requests: u64,
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
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Errors {
    pub count: u64,
    /// What the first one said.
    pub example: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaderChange {
    pub before: Option<Leader>,
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

    /// Whether the figures are void because of what was found, or nothing was measured at all.
    pub fn failed(&self) -> bool {
        let void = |outcome: &WorkloadResult| {
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

impl WorkloadResult {
    /// The figures of a run.
    pub fn new(workload: Workload, run: &Run, echo_rate: Option<f64>, is_open: bool) -> Self {
        let recorder = &run.recorder;
        let total = Figures::new(&recorder.total(), run.seconds);
        let part =
            |kind| (workload == Workload::Mixed).then(|| Figures::new(recorder.meter(kind), run.seconds));
        let share = echo_rate.map(|rate| total.requests_per_second / rate);
        Self {
            workload,
            seconds: run.seconds,
            reads: part(RequestKind::Read),
            writes: part(RequestKind::Write),
            share_of_echo: share.filter(|_| workload != Workload::Echo),
            missing: recorder.missing,
            errors: recorder
                .failures
                .iter()
                .map(|(reason, f)| (reason.clone(), Errors { count: f.count, example: f.example.clone() }))
                .collect(),
            abandoned: recorder.abandoned,
            unsent: recorder.unsent,
            goodput_per_second: is_open.then(|| per_second(recorder.goodput, run.seconds)),
            client_cpu_seconds: run.own_cpu.as_secs_f64(),
            server_cpu_seconds: run.server_cpu.map(|time| time.as_secs_f64()),
            compactions: recorder.compactions,
            stolen_share: run.stolen,
            leader_change: None,
            verification: None,
            longest_apply_ms: None,
            total,
        }
    }

    pub fn error_count(&self) -> u64 {
        self.errors.values().map(|errors| errors.count).sum()
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl Figures {
    fn new(meter: &Meter, seconds: f64) -> Self {
        let per_second = |count| per_second(count, seconds);
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

/// To a tenth: more digits would pretend a precision that the histogram does not have.
fn microseconds(nanoseconds: f64) -> f64 {
    (nanoseconds / 100.0).round() / 10.0
}
