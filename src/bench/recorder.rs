//! What a thread records while it runs. Each thread has its own recorder, and they are merged at the end: no
//! request takes a lock.

use crate::bench::sample::Sample;
use crate::reason::Outcome;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Latencies are kept in nanoseconds, from 1 µs to 1 h, to three digits.
const LEAST: u64 = 1_000;
const MOST: u64 = 3_600_000_000_000;
/// Servers name a few dozen reasons; a strange one must not fill our memory.
const MOST_REASONS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Echo,
    Read,
    Write,
}

/// Latencies and counts of one kind of request.
#[derive(Clone, Debug)]
pub struct Meter {
    /// From sending (closed loop) or from when the request was due (open loop) to the answer.
    pub latency: Histogram<u64>,
    /// In the open loop also from sending to the answer.
    pub service: Histogram<u64>,
    /// Keys read or written, or empty calls: each key of a batch counts.
    pub operations: u64,
}

impl Default for Meter {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(LEAST, MOST, 3).expect("the bounds are constants");
        Self { latency: histogram(), service: histogram(), operations: 0 }
    }
}

impl Meter {
    pub fn requests(&self) -> u64 {
        self.latency.len()
    }

    /// Adds what another noted.
    pub fn merge(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.service.add(&other.service).expect("all histograms have the same bounds");
        self.operations += other.operations;
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u64,
    /// What the first one said.
    pub example: String,
}

#[derive(Clone, Debug, Default)]
pub struct Recorder {
    meters: [Meter; 3],
    pub missing: u64,
    pub failures: BTreeMap<String, Failures>,
    /// Writes, including those of the warm-up, that failed and may have been applied all the same.
    pub unknown_writes: u64,
    /// Requests that had no answer when we stopped waiting.
    pub abandoned: u64,
    /// In the open loop: requests that were due and had not been sent when time was up.
    pub unsent: u64,
    /// In the open loop: operations that succeeded while it was measured, whenever they were due.
    pub goodput: u64,
    pub compactions: u64,
    /// Acknowledged writes to compare afterwards, including those of the warm-up.
    pub sample: Sample,
}

impl Recorder {
    pub fn answered(
        &mut self,
        kind: RequestKind,
        operations: u64,
        latency: Duration,
        service: Option<Duration>,
    ) {
        let meter = &mut self.meters[kind as usize];
        meter.operations += operations;
        meter.latency.saturating_record(nanoseconds(latency));
        if let Some(service) = service {
            meter.service.saturating_record(nanoseconds(service));
        }
    }

    pub fn failed(&mut self, status: &Status) {
        let mut reason = reason(status);
        if self.failures.len() >= MOST_REASONS && !self.failures.contains_key(&reason) {
            reason = "OTHER".to_owned();
        }
        let failures = self.failures.entry(reason).or_default();
        failures.count += 1;
        if failures.count == 1 {
            failures.example = status.message().to_owned();
        }
    }

    /// The figures of one kind of request.
    pub fn meter(&self, kind: RequestKind) -> &Meter {
        &self.meters[kind as usize]
    }

    pub fn total(&self) -> Meter {
        let mut total = Meter::default();
        self.meters.iter().for_each(|meter| total.merge(meter));
        total
    }

    /// Adds what another thread noted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.meters.iter_mut().zip(&other.meters) {
            mine.merge(theirs);
        }
        self.missing += other.missing;
        self.unknown_writes += other.unknown_writes;
        self.abandoned += other.abandoned;
        self.unsent += other.unsent;
        self.goodput += other.goodput;
        self.compactions += other.compactions;
        for (reason, theirs) in &other.failures {
            let mine = self.failures.entry(reason.clone()).or_default();
            mine.count += theirs.count;
            if mine.example.is_empty() {
                mine.example.clone_from(&theirs.example);
            }
        }
        self.sample.merge(&other.sample);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The server's own reason, or else the gRPC code.
fn reason(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(info) if !info.reason.is_empty() => info.reason,
        _ => code_name(status.code()).to_owned(),
    }
}

/// Whether a write that failed like this may have been applied. Only a server that says NOT_APPLIED is
/// believed; an error without an outcome (from a proxy, or the connection) tells nothing.
pub fn outcome_is_unknown(status: &Status) -> bool {
    let outcome = status.get_details_error_info().and_then(|info| info.metadata.get("outcome").cloned());
    outcome.as_deref().and_then(Outcome::named) != Some(Outcome::NotApplied)
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn refusal(reason: &str, outcome: &str) -> Status {
        let metadata = [("outcome".to_owned(), outcome.to_owned())];
        let details = ErrorDetails::with_error_info(reason, "kontiki", metadata);
        Status::with_error_details(Code::Unavailable, "try again", details)
    }

    #[test]
    fn threads_merge_into_one_histogram_and_not_into_averages() {
        let mut fast = Recorder::default();
        let mut slow = Recorder::default();
        (0..99).for_each(|_| fast.answered(RequestKind::Write, 1, Duration::from_micros(100), None));
        slow.answered(RequestKind::Write, 1, Duration::from_millis(50), None);
        fast.merge(&slow);
        let total = fast.total();
        assert_eq!(total.requests(), 100);
        let p99 = total.latency.value_at_quantile(0.99);
        assert!((99_000..=101_000).contains(&p99), "{p99}");
        assert!(total.latency.max() >= 50_000_000);
    }

    #[test]
    fn failures_are_counted_by_the_reason_that_the_server_gives() {
        let mut recorder = Recorder::default();
        recorder.failed(&refusal("NO_LEADER", "NOT_APPLIED"));
        recorder.failed(&refusal("NO_LEADER", "NOT_APPLIED"));
        recorder.failed(&Status::deadline_exceeded("too late"));
        let counts: Vec<_> = recorder.failures.iter().map(|(why, f)| (why.as_str(), f.count)).collect();
        assert_eq!(counts, [("DEADLINE_EXCEEDED", 1), ("NO_LEADER", 2)]);
        assert_eq!(recorder.failures["NO_LEADER"].example, "try again");
    }

    #[test]
    fn reasons_are_bounded() {
        let mut recorder = Recorder::default();
        (0..1000).for_each(|n| recorder.failed(&refusal(&format!("R{n}"), "UNKNOWN")));
        assert_eq!(recorder.failures.len(), MOST_REASONS + 1);
        assert_eq!(recorder.failures["OTHER"].count, 1000 - MOST_REASONS as u64);
    }

    #[test]
    fn only_a_server_that_says_so_has_certainly_not_applied_a_write() {
        assert!(!outcome_is_unknown(&refusal("OVERLOADED", "NOT_APPLIED")));
        assert!(outcome_is_unknown(&refusal("LEADERSHIP_LOST", "UNKNOWN")));
        assert!(outcome_is_unknown(&Status::unavailable("connection reset")));
    }
}
