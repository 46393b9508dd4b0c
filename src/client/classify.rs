//! From a `tonic::Status` to a [`Failure`]: tonic puts everything, from an
//! unknown host to a refused request, into one type. What the server said
//! has no source; what happened on this side has one, and its chain tells.

use crate::address::NodeUrl;
use crate::client::error::{Failure, ServerError, ServerReason};
use crate::reason::Outcome;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The trailer that names the leader's client URL, for tools that cannot read details.
const LEADER_TRAILER: &str = "kontiki-leader";

/// The trailer that tells a write's outcome, for tools that cannot read details.
const OUTCOME_TRAILER: &str = "kontiki-write-outcome";

// Some of what happens has no type, only words of the libraries below. `tests/client/layers.rs` has these libraries say
// each of them.

/// How tonic words an HTTP answer that is not gRPC.
const NOT_GRPC: &str = "grpc-status header missing";

/// How tonic words the end of a call's deadline, if the server's handler has not noticed it first.
const TOO_LATE: &str = "Timeout expired";

/// How hyper-util words a name that does not resolve; its error has no type that can be named.
const NO_ADDRESS: &str = "dns error";

/// Tells in which layer a call failed. `after` is how long the caller waited.
pub fn classify(status: &Status, after: Duration) -> Failure {
    match status.source() {
        Some(source) => local(source, status, after),
        None => remote(status, after),
    }
}

/// The leader that a server names beside its answer.
pub(super) fn named_leader(metadata: &MetadataMap) -> Option<NodeUrl> {
    NodeUrl::parse(metadata.get(LEADER_TRAILER)?.to_str().ok()?).ok()
}

/// What went wrong on this side.
fn local(source: &(dyn StdError + 'static), status: &Status, after: Duration) -> Failure {
    let chain: Vec<&(dyn StdError + 'static)> =
        std::iter::successors(Some(source), |&error| error.source()).collect();
    if chain.iter().any(|error| error.is::<tonic::TimeoutExpired>()) {
        return Failure::Timeout { after, outcome: Outcome::Unknown };
    }
    let root = chain.last().map_or_else(|| status.message().to_owned(), ToString::to_string);
    if chain.iter().any(|error| error.is::<tonic::ConnectError>()) {
        if chain.iter().any(|error| error.to_string().starts_with(NO_ADDRESS)) {
            return Failure::Dns { message: root };
        }
        let kind = chain.iter().find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
        return Failure::Tcp { kind: kind.unwrap_or(io::ErrorKind::Other), message: root };
    }
    if speaks_something_else(&chain) {
        return Failure::NotGrpc { message: root, outcome: Outcome::Unknown };
    }
    Failure::Grpc { message: format!("the connection broke ({root})"), outcome: Outcome::Unknown }
}

/// Whether what came back was not HTTP/2 at all.
fn speaks_something_else(chain: &[&(dyn StdError + 'static)]) -> bool {
    chain.iter().any(|error| {
        let words = error.to_string();
        words.contains("FRAME_SIZE_ERROR")
            || words.contains("frame with invalid size")
            || words.contains("PROTOCOL_ERROR")
    })
}

/// What the server said.
fn remote(status: &Status, after: Duration) -> Failure {
    if status.message().contains(NOT_GRPC) {
        return Failure::NotGrpc { message: status.message().to_owned(), outcome: Outcome::Unknown };
    }
    let info = status.get_details_error_info();
    let details = info.as_ref().map(|info| info.metadata.clone()).unwrap_or_default();
    let trailer = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
    let outcome = details.get("outcome").map(String::as_str).or_else(|| trailer(OUTCOME_TRAILER));
    let outcome = outcome_of(outcome, status.code());
    let too_late = status.code() == Code::DeadlineExceeded
        || status.code() == Code::Cancelled && status.message() == TOO_LATE;
    if too_late && info.is_none() {
        return Failure::Timeout { after, outcome };
    }
    let leader = ["leader_url", "leader"]
        .iter()
        .find_map(|key| NodeUrl::parse(details.get(*key)?).ok())
        .or_else(|| named_leader(status.metadata()));
    Failure::Refused(Box::new(ServerError {
        code: status.code(),
        reason: ServerReason::named(info.map(|info| info.reason).unwrap_or_default()),
        message: status.message().to_owned(),
        outcome,
        details: details.into_iter().collect(),
        retry_after: status.get_details_retry_info().and_then(|info| info.retry_delay),
        leader,
    }))
}

fn outcome_of(said: Option<&str>, code: Code) -> Outcome {
    match said {
        Some(name) => Outcome::named(name).unwrap_or(Outcome::Unknown),
        // Codes that a server returns before it does anything.
        None => match code {
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::FailedPrecondition => Outcome::NotApplied,
            _ => Outcome::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    fn refusal(status: &Status) -> ServerError {
        match classify(status, Duration::ZERO) {
            Failure::Refused(refusal) => *refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn the_servers_details_are_read() {
        let mut details = ErrorDetails::new();
        let metadata = [("outcome", "NOT_APPLIED"), ("leader_url", "http://n2:2379"), ("limit", "3")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        details.set_error_info("NO_LEADER", "kontiki", HashMap::from(metadata));
        details.set_retry_info(Some(Duration::from_millis(300)));
        let status = Status::with_error_details(Code::Unavailable, "no leader is known", details);
        let refusal = refusal(&status);
        assert_eq!(refusal.known(), Some(Reason::NoLeader));
        assert_eq!(refusal.outcome, Outcome::NotApplied);
        assert_eq!(refusal.leader.unwrap().to_string(), "http://n2:2379");
        assert_eq!(refusal.retry_after, Some(Duration::from_millis(300)));
        assert_eq!(refusal.details["limit"], "3");
    }

    #[test]
    fn trailers_stand_in_for_details() {
        let mut status = Status::unavailable("not the leader");
        status.metadata_mut().insert(LEADER_TRAILER, "http://n3:2379".parse().unwrap());
        status.metadata_mut().insert(OUTCOME_TRAILER, "NOT_APPLIED".parse().unwrap());
        let refusal = refusal(&status);
        assert_eq!(refusal.leader.unwrap().to_string(), "http://n3:2379");
        assert_eq!(refusal.outcome, Outcome::NotApplied);
    }

    #[test]
    fn without_a_word_on_it_an_unavailable_write_may_have_been_applied() {
        assert_eq!(refusal(&Status::unavailable("")).outcome, Outcome::Unknown);
        assert_eq!(refusal(&Status::invalid_argument("")).outcome, Outcome::NotApplied);
    }

    #[test]
    fn a_bare_deadline_is_a_timeout() {
        let cancelled = classify(&Status::cancelled("Timeout expired"), Duration::from_secs(1));
        assert!(matches!(cancelled, Failure::Timeout { outcome: Outcome::Unknown, .. }));
        let failure = classify(&Status::deadline_exceeded("late"), Duration::from_secs(1));
        assert_eq!(failure, Failure::Timeout { after: Duration::from_secs(1), outcome: Outcome::Unknown });
    }

    #[test]
    fn an_http_answer_without_grpc_is_told_as_such() {
        let status = Status::unknown("grpc-status header missing, mapped from HTTP status code 404");
        assert!(matches!(classify(&status, Duration::ZERO), Failure::NotGrpc { .. }));
    }
}
