//! Why a request fails, independent of any protocol.
//!
//! The outcome is what a client needs most: after `NOT_APPLIED` any request may be sent again, after
//! `UNKNOWN` only one that may be done twice.

use crate::reason::{Outcome, Reason};
use std::borrow::Cow;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    pub id: u64,
    pub name: Option<String>,
    /// Where it listens for clients, if known.
    pub url: Option<String>,
}

/// A request was refused, or failed. Boxed, since every result carries its size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.reason, .0.message)]
pub struct Fault(Box<Details>);

/// The content of a fault, which each protocol expresses in its own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    pub reason: Reason,
    /// What is wrong and what to do, in one sentence.
    pub message: String,
    /// What became of the write; `None` for a read.
    pub outcome: Option<Outcome>,
    /// The path of the field at fault, if one is.
    pub field: Option<String>,
    /// After what time to try again, where that may help and can do no harm.
    pub retry: Option<Duration>,
    /// Where the leader is, if that helps.
    pub leader: Option<LeaderHint>,
    /// Names and values for programs: `limit`, `actual`, `requested_revision`, …
    pub facts: Vec<(Cow<'static, str>, String)>,
}

impl Fault {
    /// A refusal with a sentence that says what is wrong and what to do.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            reason,
            message: message.into(),
            outcome: None,
            field: None,
            retry: None,
            leader: None,
            facts: Vec::new(),
        }))
    }

    /// A fault of one field of the request.
    pub fn field(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut fault = Self::new(reason, message).not_applied();
        fault.0.field = Some(field.into());
        fault
    }

    /// A field that exceeds a limit.
    pub fn over(reason: Reason, field: &str, what: &str, limit: u64, actual: u64) -> Self {
        Self::field(reason, field, format!("{what}: the limit is {limit}, this has {actual}"))
            .fact("limit", limit)
            .fact("actual", actual)
    }

    /// The deadline passed. For a write, the caller adds the outcome.
    pub fn deadline(doing: &str) -> Self {
        Self::new(Reason::Deadline, format!("the deadline passed while {doing}"))
    }

    /// Too much is waiting; trying again in a moment may help.
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(Reason::Overloaded, message).retry_after(Duration::from_millis(100))
    }

    #[must_use]
    pub fn not_applied(mut self) -> Self {
        self.0.outcome = Some(Outcome::NotApplied);
        self
    }

    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.0.outcome = Some(Outcome::Unknown);
        self
    }

    /// Adds a detail for programs.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.facts.push((name.into(), value.to_string()));
        self
    }

    #[must_use]
    pub fn leader(mut self, hint: LeaderHint) -> Self {
        self.0.leader = Some(hint);
        self
    }

    /// Sets after what time to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry = Some(delay);
        self
    }

    /// Places the field at fault inside another one: `key` becomes `success[3].put.key`.
    #[must_use]
    pub fn inside(mut self, path: &str) -> Self {
        self.0.field = Some(match self.0.field.take() {
            Some(field) => format!("{path}.{field}"),
            None => path.to_owned(),
        });
        self
    }

    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What became of the write; `None` for a read.
    pub fn outcome(&self) -> Option<Outcome> {
        self.0.outcome
    }

    /// The path of the field at fault.
    pub fn at(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.facts.iter().find(|(fact, _)| *fact == name).map(|(_, value)| &**value)
    }

    pub fn details(&self) -> &Details {
        &self.0
    }

    /// The content, for conversion into another form.
    pub fn into_details(self) -> Details {
        *self.0
    }
}

impl From<Details> for Fault {
    fn from(details: Details) -> Self {
        Self(Box::new(details))
    }
}
