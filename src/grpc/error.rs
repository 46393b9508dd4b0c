//! The one place where a refusal becomes a gRPC status.
//!
//! Every status carries, beside code and message:
//!
//! * `google.rpc.ErrorInfo` with the [`Reason`], the domain `kontiki`, and facts
//!   as metadata: `outcome`, `leader_id`, `leader_name`, `leader_url`, `limit`,
//!   `actual`, `requested_revision`, `current_revision`, `compact_revision`,
//!   `client_url`;
//! * `google.rpc.BadRequest` that names the field, where one is at fault;
//! * `google.rpc.RetryInfo`, where trying again may help and can do no harm;
//! * for tools that cannot read details, the plain trailers `kontiki-reason`,
//!   `kontiki-write-outcome` and `kontiki-leader`.
//!
//! The outcome is what a client needs most: `NOT_APPLIED` may be sent again
//! whatever it was, `UNKNOWN` only if doing it twice is harmless. Generic retry
//! policies repeat UNAVAILABLE, so that an unknown outcome never goes out
//! without saying so.

use crate::kv;
use crate::reason::{Kind, Outcome, Reason};
use crate::replica::{ReadError, SnapshotError, TransferError, WriteError};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "kontiki";
/// The trailer with the reason.
pub const REASON_TRAILER: &str = "kontiki-reason";
/// The trailer that says what became of a write.
pub const OUTCOME_TRAILER: &str = "kontiki-write-outcome";
/// The trailer that says where the leader is.
pub const LEADER_TRAILER: &str = "kontiki-leader";

/// Trailers travel in one HTTP/2 header block, which many clients bound at
/// 8 KiB; a refusal that quotes a long key must not break the connection.
const MESSAGE_BYTES_MAX: usize = 600;
const FACT_BYTES_MAX: usize = 200;

/// Where the leader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// Its node id.
    pub id: u64,
    /// Its name, if known.
    pub name: Option<String>,
    /// Where it listens for clients, if known.
    pub url: Option<String>,
}

/// A refused request, before it becomes a status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.reason, .0.message)]
pub struct Fault(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    reason: Reason,
    message: String,
    outcome: Option<Outcome>,
    field: Option<String>,
    retry: Option<Duration>,
    leader: Option<LeaderHint>,
    facts: Vec<(&'static str, String)>,
}

impl Fault {
    /// A refusal with a sentence that says what is wrong and what to do.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: message.into(),
            outcome: None,
            field: None,
            retry: None,
            leader: None,
            facts: Vec::new(),
        }))
    }

    /// A field of the request is at fault.
    pub fn field(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut fault = Self::new(reason, message).not_applied();
        fault.0.field = Some(field.into());
        fault
    }

    /// A field is over a limit.
    pub fn over(reason: Reason, field: &str, what: &str, limit: u64, actual: u64) -> Self {
        Self::field(reason, field, format!("{what}: the limit is {limit}, this has {actual}"))
            .fact("limit", limit)
            .fact("actual", actual)
    }

    /// The deadline passed. For a write, say with what outcome.
    pub fn deadline(doing: &str) -> Self {
        Self::new(Reason::Deadline, format!("the deadline passed while {doing}"))
    }

    /// Certainly not applied.
    #[must_use]
    pub fn not_applied(mut self) -> Self {
        self.0.outcome = Some(Outcome::NotApplied);
        self
    }

    /// Perhaps applied.
    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.0.outcome = Some(Outcome::Unknown);
        self
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.facts.push((name, value.to_string()));
        self
    }

    /// Says where the leader is.
    #[must_use]
    pub fn leader(mut self, hint: LeaderHint) -> Self {
        self.0.leader = Some(hint);
        self
    }

    /// Says after what time to try again.
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

    /// Why.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The sentence.
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

    /// A fact.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.facts.iter().find(|(fact, _)| *fact == name).map(|(_, value)| &**value)
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let Inner { reason, message, outcome, field, retry, leader, facts } = *fault.0;
        let message = match &field {
            Some(field) => format!("{}: {}", shortened(field, FACT_BYTES_MAX), message),
            None => message,
        };
        let message = shortened(&message, MESSAGE_BYTES_MAX).into_owned();

        let mut metadata: HashMap<String, String> = facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), shortened(&value, FACT_BYTES_MAX).into_owned()))
            .collect();
        if let Some(outcome) = outcome {
            metadata.insert("outcome".into(), outcome.as_str().into());
        }
        if let Some(leader) = &leader {
            metadata.insert("leader_id".into(), leader.id.to_string());
            metadata.extend(leader.name.clone().map(|name| ("leader_name".into(), name)));
            metadata.extend(leader.url.clone().map(|url| ("leader_url".into(), url)));
        }
        let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata);
        if let Some(field) = field {
            details.add_bad_request_violation(shortened(&field, FACT_BYTES_MAX), message.clone());
        }
        if retry.is_some() {
            details.set_retry_info(retry);
        }

        let mut status = Status::with_error_details(code(reason.kind()), message, details);
        let trailers = status.metadata_mut();
        trailers.insert(REASON_TRAILER, MetadataValue::from_static(reason.as_str()));
        if let Some(outcome) = outcome {
            trailers.insert(OUTCOME_TRAILER, MetadataValue::from_static(outcome.as_str()));
        }
        if let Some(leader) = leader {
            let place = leader.url.or(leader.name).unwrap_or_else(|| leader.id.to_string());
            // A name need not be ASCII; the details have it in any case.
            if let Ok(place) = place.parse() {
                trailers.insert(LEADER_TRAILER, place);
            }
        }
        status
    }
}

/// The gRPC code of a kind of failure.
const fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::Unavailable => Code::Unavailable,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Aborted => Code::Aborted,
        Kind::DataLoss => Code::DataLoss,
        Kind::Internal => Code::Internal,
    }
}

/// The text, or its beginning with a mark that something is missing.
fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    Cow::Owned(format!("{}… ({} bytes in all)", &text[..end], text.len()))
}

/// Why a status was given, if it is one of ours.
pub fn reason_of(status: &Status) -> Option<Reason> {
    let reason = status.metadata().get(REASON_TRAILER)?.to_str().ok()?;
    Reason::named(reason)
}

/// What a status says of the write.
pub fn outcome_of(status: &Status) -> Option<Outcome> {
    Outcome::named(status.metadata().get(OUTCOME_TRAILER)?.to_str().ok()?)
}

impl From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        match error {
            WriteError::NotLeader { .. } => Self::new(Reason::NotLeader, message).not_applied(),
            WriteError::Transferring => Self::new(Reason::LeadershipTransfer, message).not_applied(),
            WriteError::NoSpace => Self::new(Reason::NoSpace, message).not_applied(),
            WriteError::Superseded => Self::new(Reason::Superseded, message).not_applied(),
            WriteError::Overloaded(_) => overloaded(message).not_applied(),
            WriteError::Expired => Self::new(Reason::Deadline, message).not_applied(),
            WriteError::Unknown(_) => Self::new(Reason::LeadershipLost, message).unknown(),
            WriteError::Stopping => Self::new(Reason::Stopping, message).not_applied(),
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::NotLeader { .. } => Self::new(Reason::NotLeader, message),
            ReadError::Overloaded => overloaded(message),
            ReadError::Stopping => Self::new(Reason::Stopping, message),
        }
    }
}

impl From<TransferError> for Fault {
    fn from(error: TransferError) -> Self {
        let message = error.to_string();
        match error {
            TransferError::NotLeader { .. } => Self::new(Reason::NotLeader, message).not_applied(),
            TransferError::BadTarget(_) => Self::field(Reason::BadTransferTarget, "to", message),
            TransferError::TimedOut(_) => Self::new(Reason::TransferTimedOut, message),
            TransferError::Stopping => Self::new(Reason::Stopping, message).not_applied(),
        }
    }
}

impl From<SnapshotError> for Fault {
    fn from(error: SnapshotError) -> Self {
        Self::new(Reason::SnapshotFailed, error.to_string())
    }
}

impl From<kv::ReadError> for Fault {
    fn from(error: kv::ReadError) -> Self {
        match error {
            kv::ReadError::Refused(refusal) => refusal.into(),
            kv::ReadError::Table(error) => Self::new(Reason::Storage, error.to_string()),
        }
    }
}

impl From<kv::Refusal> for Fault {
    /// Of a read. For a write, add that it was [not applied](Fault::not_applied).
    fn from(refusal: kv::Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            kv::Refusal::Compacted { requested, oldest } => Self::new(Reason::Compacted, message)
                .fact("requested_revision", requested)
                .fact("compact_revision", oldest),
            kv::Refusal::FutureRevision { requested, current } => Self::new(Reason::FutureRevision, message)
                .fact("requested_revision", requested)
                .fact("current_revision", current),
            kv::Refusal::DuplicateKey { .. } => Self::new(Reason::DuplicateKey, message),
            kv::Refusal::TooManyChanges { limit } | kv::Refusal::ChangesTooLarge { limit } => {
                Self::new(Reason::TooManyChanges, message).fact("limit", limit)
            }
            kv::Refusal::ReplyTooLarge { limit } => {
                Self::new(Reason::ReplyTooLarge, message).fact("limit", limit)
            }
            // The log holds what this version did not write: the members run different versions.
            kv::Refusal::Unreadable { .. } => Self::new(Reason::Internal, message),
        }
    }
}

/// Too much is waiting; what waits is gone after a moment.
pub fn overloaded(message: impl Into<String>) -> Fault {
    Fault::new(Reason::Overloaded, message).retry_after(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Revision;

    #[test]
    fn a_status_tells_programs_and_tools_the_same() {
        let hint = LeaderHint { id: 2, name: Some("n2".into()), url: Some("http://n2:2379".into()) };
        let status: Status = Fault::new(Reason::NotLeader, "ask n2")
            .not_applied()
            .leader(hint)
            .retry_after(Duration::ZERO)
            .into();

        assert_eq!(status.code(), Code::Unavailable);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain), ("NOT_LEADER", "kontiki"));
        assert_eq!(info.metadata["outcome"], "NOT_APPLIED");
        assert_eq!(info.metadata["leader_id"], "2");
        assert_eq!(info.metadata["leader_url"], "http://n2:2379");
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::ZERO));
        assert_eq!(status.metadata().get("kontiki-leader").unwrap(), "http://n2:2379");
        assert_eq!(reason_of(&status), Some(Reason::NotLeader));
        assert_eq!(outcome_of(&status), Some(Outcome::NotApplied));
    }

    #[test]
    fn a_field_is_named_with_its_whole_path() {
        let fault = Fault::over(Reason::KeyTooLong, "key", "the key is too long", 8, 9)
            .inside("put")
            .inside("success[3]");
        let status: Status = fault.into();
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "success[3].put.key");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.metadata["limit"], &*info.metadata["actual"]), ("8", "9"));
        assert_eq!(outcome_of(&status), Some(Outcome::NotApplied));
    }

    /// Wherever a write may have been applied, the status must say so.
    #[test]
    fn only_an_unknown_outcome_is_unknown() {
        let all = [
            WriteError::NotLeader { leader: None },
            WriteError::Transferring,
            WriteError::Overloaded("the queue"),
            WriteError::Superseded,
            WriteError::Expired,
            WriteError::Unknown("leadership was lost"),
            WriteError::Stopping,
        ];
        for error in all {
            let expected = match error {
                WriteError::Unknown(_) => Outcome::Unknown,
                _ => Outcome::NotApplied,
            };
            assert_eq!(Fault::from(error.clone()).outcome(), Some(expected), "{error:?}");
        }
    }

    #[test]
    fn refusals_of_the_store_carry_their_revisions() {
        let refusal = kv::Refusal::Compacted { requested: Revision(3), oldest: Revision(7) };
        let status: Status = Fault::from(refusal).into();
        assert_eq!(status.code(), Code::OutOfRange);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "COMPACTED");
        assert_eq!(info.metadata["compact_revision"], "7");
    }

    /// A key of 8 KiB in a message would not fit into the trailers that clients accept.
    #[test]
    fn long_quotes_are_cut() {
        let refusal = kv::Refusal::DuplicateKey { key: vec![0xff; 8 << 10].into() };
        let status: Status = Fault::from(refusal).inside(&"success[1].txn.".repeat(90)).into();
        assert!(status.message().len() < 700);
        assert!(status.details().len() < 2048);
    }
}
