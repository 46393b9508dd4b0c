//! The clients' operations and answers: the history, and figures about it.

use kontiki::client::{Error, Failure, Outcome};
use kontiki::verify;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by all clients of a run.
pub struct Recorder {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    history: Vec<verify::Operation>,
    figures: Figures,
    /// Of each key, the newest acknowledged write: its revision and value.
    newest: BTreeMap<Arc<str>, (u64, String)>,
}

/// What the report needs.
#[derive(Default, Clone)]
pub struct Figures {
    /// By operation: succeeded, certainly not executed, unknown outcome.
    pub operations: BTreeMap<&'static str, [u64; 3]>,
    /// Swaps that were refused because another value was there: they succeeded as operations.
    pub not_swapped: u64,
    /// By operation and error, whether the outcome is unknown: how often.
    pub errors: BTreeMap<(&'static str, String, bool), u64>,
    /// When each write was acknowledged, since the start.
    pub acknowledged: Vec<Duration>,
    /// The terms in which answers were given.
    pub terms: BTreeSet<u64>,
    /// The nodes that gave them.
    pub answered_by: BTreeMap<String, u64>,
    /// The most attempts that one successful operation took.
    pub attempts_max: u32,
}

/// An operation that was called and has not ended.
pub struct Call {
    pub process: u64,
    pub key: Arc<str>,
    pub what: verify::Call,
    invoked: Duration,
}

impl Recorder {
    pub fn new(start: Instant) -> Self {
        Self { start, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called right before the operation is sent.
    pub fn invoke(&self, process: u64, key: Arc<str>, what: verify::Call) -> Call {
        Call { process, key, what, invoked: self.start.elapsed() }
    }

    /// It was answered.
    pub fn ok(&self, call: Call, answer: verify::Answer, meta: &kontiki::client::Meta) {
        let completed = self.start.elapsed();
        let name = name(&call.what);
        let mut inner = self.inner();
        let figures = &mut inner.figures;
        figures.operations.entry(name).or_default()[0] += 1;
        figures.terms.insert(meta.term);
        figures.attempts_max = figures.attempts_max.max(meta.attempts);
        *figures.answered_by.entry(meta.served_by.clone()).or_default() += 1;
        match (&answer, &call.what) {
            (verify::Answer::Swapped(false), _) => figures.not_swapped += 1,
            (_, verify::Call::Write(value) | verify::Call::Cas { new: value, .. }) => {
                figures.acknowledged.push(completed);
                let newest = (meta.revision.0, value.as_json().to_owned());
                let known = inner.newest.entry(call.key.clone()).or_default();
                if newest.0 > known.0 {
                    *known = newest;
                }
            }
            _ => {}
        }
        let outcome = verify::Completion::Ok {
            completed_ns: nanoseconds(completed),
            answer,
            revision: Some(meta.revision.0),
        };
        inner.push(call, outcome);
    }

    /// It failed. True if nobody knows whether it was executed.
    pub fn failed(&self, call: Call, error: &Error) -> bool {
        // A read that failed had no effect, whatever became of it.
        let unknown = call.what != verify::Call::Read && error.outcome() != Some(Outcome::NotApplied);
        let name = name(&call.what);
        let mut inner = self.inner();
        inner.figures.operations.entry(name).or_default()[if unknown { 2 } else { 1 }] += 1;
        *inner.figures.errors.entry((name, word(&error.failure), unknown)).or_default() += 1;
        inner.push(call, if unknown { verify::Completion::Unknown } else { verify::Completion::Failed });
        unknown
    }

    pub fn figures(&self) -> Figures {
        self.inner().figures.clone()
    }

    /// All keys, with the newest acknowledged write of each.
    pub fn newest(&self) -> BTreeMap<Arc<str>, (u64, String)> {
        self.inner().newest.clone()
    }

    /// The history so far; it is taken out.
    pub fn take_history(&self) -> verify::History {
        std::mem::take(&mut self.inner().history).into_iter().collect()
    }
}

impl Inner {
    fn push(&mut self, call: Call, outcome: verify::Completion) {
        self.history.push(verify::Operation {
            process: call.process,
            key: call.key,
            call: call.what,
            invoked_ns: nanoseconds(call.invoked),
            outcome,
        });
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn name(call: &verify::Call) -> &'static str {
    match call {
        verify::Call::Read => "read",
        verify::Call::Write(_) => "write",
        verify::Call::Cas { .. } => "cas",
    }
}

/// An error in a word or two.
fn word(failure: &Failure) -> String {
    match failure {
        Failure::Usage(_) => "wrong usage".to_owned(),
        Failure::Dns { .. } => "no such host".to_owned(),
        Failure::Tcp { kind, .. } => format!("no connection: {kind}"),
        Failure::Tls(_) => "TLS".to_owned(),
        Failure::NotGrpc { .. } => "not gRPC".to_owned(),
        Failure::Grpc { .. } => "connection broke".to_owned(),
        Failure::Silent { .. } => "silent".to_owned(),
        Failure::Timeout { .. } => "no answer in time".to_owned(),
        Failure::Refused(refusal) if refusal.reason.as_str().is_empty() => format!("{:?}", refusal.code),
        Failure::Refused(refusal) => refusal.reason.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn error(failure: Failure, write: bool) -> Error {
        Error {
            action: kontiki::client::Action::Put,
            endpoint: None,
            attempts: 1,
            elapsed: Duration::ZERO,
            failure: Box::new(failure),
            write,
            unreachable: Vec::new(),
        }
    }

    #[test]
    fn only_what_was_certainly_not_executed_counts_as_failed() {
        let recorder = Recorder::new(Instant::now());
        let write = || recorder.invoke(1, "k".into(), verify::Call::Write("a".into()));
        let read = || recorder.invoke(1, "k".into(), verify::Call::Read);
        let late = |outcome| Failure::Timeout { after: Duration::ZERO, outcome };
        assert!(recorder.failed(write(), &error(late(Outcome::Unknown), true)));
        assert!(!recorder.failed(write(), &error(late(Outcome::NotApplied), true)));
        assert!(recorder.failed(
            write(),
            &error(Failure::Grpc { message: "broke".into(), outcome: Outcome::Unknown }, true)
        ));
        assert!(!recorder.failed(read(), &error(late(Outcome::Unknown), false)));
        let figures = recorder.figures();
        assert_eq!(figures.operations["write"], [0, 1, 2]);
        assert_eq!(figures.operations["read"], [0, 1, 0]);
        let history = recorder.take_history();
        let outcomes: Vec<_> = history.operations().iter().map(|one| one.outcome.clone()).collect();
        use verify::Completion::{Failed, Unknown};
        assert_eq!(outcomes, [Unknown, Failed, Unknown, Failed]);
    }
}
