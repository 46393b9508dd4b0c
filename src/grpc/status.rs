//! Where a fault becomes a gRPC status.
//!
//! Besides code and message, every status carries:
//!
//! * `google.rpc.ErrorInfo` with the [`Reason`](crate::reason::Reason), the domain `kontiki`, and facts
//!   as metadata: `outcome`, `leader_id`, `leader_name`, `leader_url`, `limit`,
//!   `actual`, `requested_revision`, `current_revision`, `compact_revision`,
//!   `client_url`;
//! * `google.rpc.BadRequest` with the name of the field, where one is at fault;
//! * `google.rpc.RetryInfo`, where trying again may help and can do no harm;
//! * for tools that cannot read details, the plain trailers `kontiki-reason`,
//!   `kontiki-write-outcome` and `kontiki-leader`.
//!
//! Generic retry policies repeat UNAVAILABLE, so an unknown outcome always says that it is one.

use crate::api::fault::{Details, Fault};
#[cfg(test)]
use crate::reason::Reason;
use crate::reason::{FailureKind, Outcome};
use std::borrow::Cow;
use std::collections::HashMap;
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

/// Trailers are sent in one HTTP/2 header block, which many clients limit to 8 KiB; a refusal that quotes a
/// long key must not break the connection.
const MESSAGE_BYTES_MAX: usize = 600;
const FACT_BYTES_MAX: usize = 200;

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let Details { reason, message, outcome, field, retry, leader, facts } = fault.into_details();
        let message = match &field {
            Some(field) => format!("{}: {}", shortened(field, FACT_BYTES_MAX), message),
            None => message,
        };
        let message = shortened(&message, MESSAGE_BYTES_MAX).into_owned();

        let mut metadata: HashMap<String, String> = facts
            .into_iter()
            .map(|(name, value)| (name.into_owned(), shortened(&value, FACT_BYTES_MAX).into_owned()))
            .collect();
        if let Some(outcome) = outcome {
            metadata.insert("outcome".into(), outcome.as_str().into());
        }
        if let Some(leader) = &leader {
            metadata.insert("leader_id".into(), leader.id.to_string());
            metadata.extend(leader.name.clone().map(|name| ("leader_name".into(), name)));
            metadata.extend(leader.url.clone().map(|url| ("leader_url".into(), url)));
        }
        if let Some(field) = &field {
            metadata.insert("field".into(), shortened(field, FACT_BYTES_MAX).into_owned());
        }
        let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata);
        if let Some(field) = field {
            let field = shortened(&field, FACT_BYTES_MAX);
            details.add_bad_request_violation(field, message.clone());
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
const fn code(kind: FailureKind) -> Code {
    match kind {
        FailureKind::InvalidArgument => Code::InvalidArgument,
        FailureKind::FailedPrecondition => Code::FailedPrecondition,
        FailureKind::OutOfRange => Code::OutOfRange,
        FailureKind::Unimplemented => Code::Unimplemented,
        FailureKind::Unavailable => Code::Unavailable,
        FailureKind::ResourceExhausted => Code::ResourceExhausted,
        FailureKind::DeadlineExceeded => Code::DeadlineExceeded,
        FailureKind::Aborted => Code::Aborted,
        FailureKind::DataLoss => Code::DataLoss,
        FailureKind::Internal => Code::Internal,
    }
}

/// The text, or its beginning with a note that it was cut.
fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    Cow::Owned(format!("{}… ({} bytes in all)", &text[..end], text.len()))
}

/// The reason in a status, if it is one of ours.
#[cfg(test)]
pub(crate) fn reason_of(status: &Status) -> Option<Reason> {
    let reason = status.metadata().get(REASON_TRAILER)?.to_str().ok()?;
    Reason::named(reason)
}

/// What a status says about the write.
pub fn outcome_of(status: &Status) -> Option<Outcome> {
    Outcome::named(status.metadata().get(OUTCOME_TRAILER)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fault::LeaderHint;
    use crate::kv;
    use crate::types::Revision;
    use std::time::Duration;

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
        assert_eq!(info.metadata["field"], "success[3].put.key");
        assert_eq!(outcome_of(&status), Some(Outcome::NotApplied));
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
