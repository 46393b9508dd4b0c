//! `kontiki bench`: how fast is this cluster, and how much of that is gRPC?
//!
//! It sends requests with the clients generated from the protocol's files, over ordinary channels, and
//! counts. The yardstick is an empty call answered by the same servers: what a put costs beyond an echo is
//! ours. With
//! `--api etcd` the same load goes to etcd, for a comparison by one generator.
//!
//! Two loops. *Closed*: each client sends once it has its last answer; this finds the highest throughput, and
//! its percentiles are flattering, as a stall keeps clients from sending what would have been slow. *Open*
//! (`--rate`): requests are due at a fixed rate and latency counts from when they were due; this is what
//! users of a service see. Reports say which it was.
//!
//! Caveats. The client's own work is part of the figures, all the more when it shares processors with the
//! nodes: its processor time is reported. Loopback has no latency and loses nothing. Nodes on one machine
//! share one disk. The keys stay in the store afterwards.
//!
//! * [`args`]: the flags; [`plan`]: the same, checked. [`error`]: why nothing was measured.
//! * [`target`]: whom to ask and connect to; [`cluster`]: what the nodes report about themselves.
//! * [`workload`]: keys, values, requests.
//! * [`store`]: the few calls that are needed; [`call`]: what both APIs share; [`kontiki`], [`etcd`]: the
//!   messages of each.
//! * [`load`]: threads; [`client`]: one client; [`pace`]: the open loop.
//! * [`recorder`]: counts and histograms. [`machine`]: processor time.
//! * [`preload`], [`compactor`], [`verify`]: before, during and after the load; [`sample`]: what is compared.
//! * [`report`]: the result as data (JSON); [`text`]: for people.

pub mod args;
pub mod call;
pub mod client;
pub mod cluster;
pub mod compactor;
pub mod error;
pub mod etcd;
pub mod kontiki;
pub mod load;
pub mod machine;
pub mod pace;
pub mod plan;
pub mod preload;
pub mod recorder;
pub mod report;
pub mod sample;
pub mod store;
pub mod target;
pub mod text;
pub mod verify;
pub mod workload;

pub use crate::bench::args::BenchArgs;

use crate::bench::args::Workload;
use crate::bench::error::BenchError;
use crate::bench::load::Run;
use crate::bench::plan::Plan;
use crate::bench::report::{LeaderChange, Report, WorkloadResult};
use crate::bench::store::Store;
use crate::bench::verify::Verification;
use crate::bench::workload::Shapes;
use tokio::sync::watch;

/// What a waiting user wants to know.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The cluster has answered; the report has no results yet.
    Found(&'a Report),
    /// All keys are being written.
    Preloading(u64),
    Begins(Workload),
}

/// Measures what `args` ask for. Stops early when `stop` turns true, and reports what there is by then.
///
/// # Errors
/// If flags do not fit, or the cluster cannot be reached. Failed requests are results, not errors.
pub async fn execute(
    args: &BenchArgs,
    stop: watch::Receiver<bool>,
    mut tell: impl FnMut(Progress<'_>),
) -> Result<Report, BenchError> {
    let plan = args.plan()?;
    let cluster = target::ask(plan.api, &plan.endpoints).await?;
    cluster.check_limits(&plan)?;
    let urls = cluster.urls(&plan)?;
    let url = urls[0].clone();
    let mut report = Report::new(&plan, cluster, urls);
    tell(Progress::Found(&report));
    if plan.preload {
        tell(Progress::Preloading(plan.key_space));
        preload::preload(target::connect(&url).await?, &plan, &report.cluster, &stop).await?;
    }
    for workload in &plan.workloads {
        if *stop.borrow() {
            break;
        }
        tell(Progress::Begins(*workload));
        match measure(&plan, *workload, report.echo_rate(), &stop).await {
            Ok(outcome) => report.results.push(outcome),
            // What was measured so far is worth more than a tidy failure.
            Err(error) if !report.results.is_empty() => {
                report.broken_off = Some(format!("{}: {error}", workload.name()));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    report.interrupted = *stop.borrow();
    Ok(report)
}

async fn measure(
    plan: &Plan,
    workload: Workload,
    echo_rate: Option<f64>,
    stop: &watch::Receiver<bool>,
) -> Result<WorkloadResult, BenchError> {
    // Asked again: another node may lead since the last workload.
    let cluster = target::ask(plan.api, &plan.endpoints).await?;
    let urls = cluster.urls(plan)?;
    let before = cluster.leader;
    let run = load::run(plan, workload, &urls, stop).await?;
    // A cluster that does not answer has no leader as far as we can tell.
    let cluster = target::ask(plan.api, &plan.endpoints).await.ok();
    let longest_apply = cluster.as_ref().and_then(|cluster| cluster.longest_apply);
    let after = cluster.and_then(|cluster| cluster.leader);
    let mut outcome = WorkloadResult::new(workload, &run, echo_rate, plan.rate.is_some());
    outcome.longest_apply_ms = longest_apply.map(|time| time.as_secs_f64() * 1e3);
    if before != after {
        outcome.leader_change = Some(LeaderChange { before, after });
    }
    if plan.verify && workload.writes() {
        outcome.verification = Some(read_back(plan, &urls[0], &run, stop).await?);
    }
    Ok(outcome)
}

async fn read_back(
    plan: &Plan,
    url: &str,
    run: &Run,
    stop: &watch::Receiver<bool>,
) -> Result<Verification, BenchError> {
    let store = Store::new(plan.api, target::connect(url).await?, plan.request_timeout);
    Ok(verify::verify(store, &Shapes::new(plan), &run.recorder, stop).await)
}
