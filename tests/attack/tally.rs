//! What became of an attacker's requests.

use std::collections::BTreeMap;
use std::fmt;
use tonic::Status;
use tonic_types::StatusExt as _;

/// How often each outcome was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub fn one(outcome: impl Into<String>) -> Self {
        let mut tally = Self::default();
        tally.add(outcome);
        tally
    }

    pub fn add(&mut self, outcome: impl Into<String>) {
        *self.0.entry(outcome.into()).or_default() += 1;
    }

    pub fn add_many(&mut self, outcome: impl Into<String>, count: u64) {
        *self.0.entry(outcome.into()).or_default() += count;
    }

    pub fn add_answer<T>(&mut self, answer: &Result<T, Status>) {
        match answer {
            Ok(_) => self.add("ok"),
            Err(status) => self.add(reason(status)),
        }
    }

    pub fn join(&mut self, other: Self) {
        for (outcome, count) in other.0 {
            self.add_many(outcome, count);
        }
    }

    pub fn count(&self, outcome: &str) -> u64 {
        self.0.get(outcome).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// The name of a refusal's reason, with the outcome if it is in doubt; of what has none, the code.
pub fn reason(status: &Status) -> String {
    let Some(info) = status.get_details_error_info() else {
        return format!("{:?}", status.code());
    };
    match info.metadata.get("outcome").map(String::as_str) {
        Some("UNKNOWN") => format!("{} (unknown)", info.reason),
        _ => info.reason,
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        f.write_str(&parts.join(", "))
    }
}
