//! `kontiki bench` against a store that lives in the test: what it counts
//! must be what the store saw. No test asserts how fast anything is.
#![allow(clippy::unwrap_used, reason = "the lint knows tests by their attribute, not their helpers")]

use crate::fake::{Fake, Fault};
use clap::Parser;

use kontiki::bench::report::Report;
use kontiki::bench::{BenchArgs, execute};
use std::time::{Duration, Instant};
use tokio::sync::watch;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: BenchArgs,
}

/// The command's flags, with a short run unless the line says otherwise.
fn args(fake: &Fake, line: &str) -> BenchArgs {
    let mut words = vec!["bench".to_owned()];
    words.extend(line.split_whitespace().map(str::to_owned));
    for (flag, value) in [
        ("--duration", "300ms"),
        ("--warmup", "0s"),
        ("--clients", "8"),
        ("--connections", "2"),
        ("--key-space", "500"),
    ] {
        if !words.iter().any(|word| word == flag) {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    let line = Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
    BenchArgs { endpoints: vec![fake.url.clone()], ..line.args }
}

async fn bench(fake: &Fake, line: &str) -> Report {
    let (_never, stop) = watch::channel(false);
    execute(&args(fake, line), stop, |_| ()).await.expect(line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_counted_once() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "put").await;
    let result = &report.results[0];
    let seen = fake.counts().puts;
    assert!(result.total.requests > 0);
    // Each client may have one request under way when the time is up; it is awaited and not counted.
    assert!(
        (result.total.requests..=result.total.requests + 8).contains(&seen),
        "counted {}, seen {seen}",
        result.total.requests
    );
    assert_eq!(result.error_count(), 0);
    assert_eq!(result.abandoned, 0);
    assert!(result.client_cpu_seconds > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_share_the_connections() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "put --threads 3 --connections 5 --clients 7").await;
    assert_eq!(fake.connections() - fake.status_calls(), 5, "one for each status call, five for the load");
    let seen = fake.counts().puts;
    let counted = report.results[0].total.requests;
    assert!((counted..=counted + 7).contains(&seen), "counted {counted}, seen {seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_of_requests_is_kept_and_ends_the_run() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "put --requests 1000 --threads 2 --duration 60m").await;
    assert_eq!((report.results[0].total.requests, fake.counts().puts), (1000, 1000));
    assert!(report.results[0].seconds < 3600.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_given_up_meanwhile() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "put --compact-every 100ms --duration 500ms").await;
    let compactions = report.results[0].compactions;
    assert!(compactions > 0);
    assert!((compactions..=compactions + 1).contains(&fake.counts().compactions), "one may be under way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_request_of_many_operations() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "put --batch 10 --verify").await;
    let result = &report.results[0];
    assert_eq!(result.total.operations, result.total.requests * 10);
    assert_eq!(fake.counts().puts, fake.counts().txns * 10);
    assert!(result.verification.as_ref().unwrap().same > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_five_workloads_as_shares_of_the_first() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "all --preload --verify").await;
    let names: Vec<_> = report.results.iter().map(|result| result.workload.name()).collect();
    assert_eq!(names, ["echo", "put", "get", "local-get", "mixed"]);
    assert!(report.results[0].share_of_echo.is_none());
    assert!(report.results[1..].iter().all(|result| result.share_of_echo.is_some_and(|share| share > 0.0)));
    let mixed = &report.results[4];
    let parts = [&mixed.reads, &mixed.writes].map(|part| part.as_ref().unwrap().requests);
    assert_eq!(parts.iter().sum::<u64>(), mixed.total.requests);
    assert!(parts.iter().all(|part| *part > 0));
    for result in &report.results {
        assert_eq!(result.missing, 0, "{}: all keys were written before", result.workload.name());
        assert_eq!(result.verification.is_some(), result.workload.writes());
    }
    assert!(fake.counts().local_gets > 0 && fake.counts().linearizable_gets > 0);
    assert!(!report.failed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_an_empty_store_are_said_to_find_nothing() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "get").await;
    assert_eq!(report.results[0].missing, report.results[0].total.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_open_loop_sends_what_is_due() {
    let fake = Fake::start(vec![]).await;
    let report = bench(&fake, "put --rate 400 --duration 500ms").await;
    let result = &report.results[0];
    assert_eq!(report.settings.loop_kind, "open");
    // 200 were due; a slow machine sends fewer in time and must say so.
    assert_eq!(result.total.requests + result.unsent, 200);
    assert!(result.total.requests >= 50, "{}", result.total.requests);
    assert!(result.total.service_time.is_some());
    // All was answered, a little of it perhaps after the time.
    let goodput = result.goodput_per_second.unwrap() * result.seconds;
    assert!(goodput > 0.0 && goodput <= result.total.operations as f64, "{goodput}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_is_seen_by_all_that_it_delayed() {
    // One client, 100 requests per second, each answered after 50 ms: the
    // queue grows, and the last in it waits much longer than any call takes.
    let fake = Fake::start(vec![]).await;
    fake.set_fault(Fault::Slow(Duration::from_millis(50)));
    let report =
        bench(&fake, "put --rate 100 --clients 1 --connections 1 --duration 600ms --key-space 10").await;
    let result = &report.results[0];
    let [latency, service] =
        [&result.total.latency, &result.total.service_time].map(|times| times.as_ref().unwrap());
    assert!(latency.max_us > 3.0 * service.p50_us, "{latency:?} {service:?}");
    assert!(result.unsent > 0, "the rate could not be kept, which is said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_counted_by_reason() {
    let fake = Fake::start(vec![]).await;
    fake.set_fault(Fault::RefuseEvery { nth: 3, reason: "OVERLOADED" });
    let report = bench(&fake, "put --verify").await;
    let result = &report.results[0];
    let refused = fake.counts().refused;
    let counted = result.errors["OVERLOADED"].count;
    assert!((counted..=counted + 8).contains(&refused), "counted {counted}, refused {refused}");
    assert_eq!(result.errors["OVERLOADED"].example, "OVERLOADED in words");
    assert!(result.verification.as_ref().unwrap().is_clean(), "what was acknowledged is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_forgets_is_found_out() {
    let fake = Fake::start(vec![]).await;
    fake.set_fault(Fault::ForgetEvery { nth: 2 });
    let report = bench(&fake, "put --verify").await;
    let found = report.results[0].verification.as_ref().unwrap();
    assert!(found.lost > 0, "{found:?}");
    assert!(report.failed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_election_meanwhile_is_reported() {
    let fake = Fake::start(vec![]).await;
    fake.set_fault(Fault::NewTermWithEachStatus);
    let report = bench(&fake, "put").await;
    let change = report.results[0].leader_change.as_ref().unwrap();
    assert!(change.after.as_ref().unwrap().term > change.before.as_ref().unwrap().term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_holds_nobody_for_ever() {
    let fake = Fake::start(vec![]).await;
    fake.set_fault(Fault::Slow(Duration::from_secs(3600)));
    let began = Instant::now();
    let report = bench(&fake, "put --request-timeout 200ms --duration 300ms").await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let result = &report.results[0];
    assert_eq!(result.total.requests, 0);
    assert!(!result.errors.is_empty() || result.abandoned > 0);
    assert!(report.failed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interruption_reports_what_there_is() {
    let fake = Fake::start(vec![]).await;
    let args = args(&fake, "all --duration 60m");
    let (interrupt, stop) = watch::channel(false);
    let running = tokio::spawn(async move { execute(&args, stop, |_| ()).await });
    fake.until(|counts| counts.echoes > 100).await;
    interrupt.send_replace(true);
    let report = running.await.unwrap().unwrap();
    assert!(report.interrupted);
    assert_eq!(report.results.len(), 1, "the workload that ran, and none after it");
    assert!(report.results[0].total.requests > 0);
    assert!(report.results[0].seconds < 3600.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_would_refuse_is_refused_before_it_starts() {
    let fake = Fake::start(vec![]).await;
    let (_never, stop) = watch::channel(false);
    let error = execute(&args(&fake, "put --batch 129"), stop, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("--batch is 129, and the cluster's limit is 128"), "{error}");
    assert_eq!(fake.counts().puts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_said_with_the_address() {
    let fake = Fake::start(vec![]).await;
    let mut args = args(&fake, "put");
    args.endpoints = vec!["http://127.0.0.1:1".to_owned()];
    let (_never, stop) = watch::channel(false);
    let error = execute(&args, stop, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("refused"), "{error}");
}

/// Programs read this: fields may be added, but never renamed or dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_json_form_is_stable() {
    let fake = Fake::start(vec![]).await;
    let report = serde_json::to_value(bench(&fake, "mixed --rate 200 --preload --verify").await).unwrap();
    let names = |pointer: &str| {
        let object = report.pointer(pointer).and_then(|value| value.as_object());
        object
            .unwrap_or_else(|| panic!("no object at {pointer}"))
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(report["schema"], 1);
    assert_eq!(names(""), "broken_off client cluster interrupted results schema settings");
    assert_eq!(names("/client"), "build cores version");
    assert_eq!(names("/cluster"), "durability id leader nodes versions");
    assert_eq!(names("/cluster/leader"), "name term");
    assert_eq!(names("/cluster/nodes/0"), "client_url name role");
    assert_eq!(
        names("/settings"),
        "api batch clients connections duration_seconds key_size key_space latency_from loop order preloaded rate \
         read_share seed target threads urls value_size warmup_seconds"
    );
    assert_eq!(
        names("/results/0"),
        "abandoned client_cpu_seconds compactions errors goodput_per_second latency leader_change longest_apply_ms missing operations \
         operations_per_second reads requests requests_per_second seconds server_cpu_seconds service_time \
         share_of_echo stolen_share unsent verification workload writes"
    );
    assert_eq!(names("/results/0/latency"), "max_us mean_us p50_us p90_us p999_us p99_us");
    assert_eq!(
        names("/results/0/reads"),
        "latency operations operations_per_second requests requests_per_second service_time"
    );
    assert_eq!(names("/results/0/verification"), "checked examples lost newer same skipped unreadable wrong");
}
