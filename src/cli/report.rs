//! An error as the user needs it: what failed, at which node, in which layer, the likely cause, and the next
//! command to try.

use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::{refusal, screen, text};
use crate::client::{Action, Error, Failure, Outcome, Reason, ServerError, WRONG_CLUSTER};
use crate::reason::FailureKind;
use serde_json::{Value, json};
use std::process::ExitCode;
use tonic::Code;

/// Writes the error to standard error and returns its exit code.
pub(super) fn report(error: &CliError, output: &Output) -> ExitCode {
    match error {
        CliError::OutputClosed => {}
        error if output.is_json() => eprintln!("{}", screen::json(json(error).to_string())),
        error => say(&words(error)),
    }
    error.exit().into()
}

/// Says something on standard error, which is often a terminal: whatever is in it was said by a server, a file or a key.
pub(super) fn say(words: &str) {
    eprintln!("{}", screen::words(words, false));
}

fn words(error: &CliError) -> String {
    let CliError::Client(error) = error else {
        return format!("error: {error}");
    };
    let mut lines = vec![format!("error: {}", headline(error))];
    for (node, failure) in &error.unreachable {
        lines.push(format!("       also at {node} ({}): {failure}", failure.layer().as_str()));
    }
    if error.attempts > 1 {
        lines.push(format!("  tries:   {} in {}", error.attempts, text::duration(error.elapsed)));
    }
    if let Some(revisions) = error.server_error().and_then(revisions) {
        lines.push(format!("  facts:   {revisions}"));
    }
    if let Some(outcome) = error.outcome().filter(|_| !error.failure.before_sending()) {
        lines.push(format!("  outcome: {}", in_words(error.action, outcome)));
    }
    let (cause, next) = advice(error);
    if !cause.is_empty() {
        lines.push(format!("  likely:  {cause}"));
    }
    if !next.is_empty() {
        lines.push(format!("  try:     {next}"));
    }
    lines.join("\n")
}

fn in_words(action: Action, outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplied if action == Action::TransferLeadership => "leadership stays where it was",
        Outcome::Unknown if action == Action::TransferLeadership => {
            "unknown: leadership may have moved, or may yet move"
        }
        Outcome::NotApplied => "certainly not applied",
        Outcome::Unknown => "unknown: it may have been applied, or may yet be; read before you write again",
    }
}

/// The error in one line: what failed, where, in which layer, and why.
fn headline(error: &Error) -> String {
    match (error.server_error(), &error.endpoint) {
        (Some(refused), Some(endpoint)) => {
            let (action, layer) = (error.action, error.layer().as_str());
            format!("{action} failed at {endpoint} ({layer}): {}", refusal::in_words(action, refused))
        }
        _ => error.to_string(),
    }
}

/// As JSON, one object.
fn json(error: &CliError) -> Value {
    let message = match error {
        CliError::Client(error) => headline(error),
        error => error.to_string(),
    };
    let mut object = json!({"message": message, "exit_code": error.exit() as u8});
    if let CliError::Client(error) = error {
        let (cause, next) = advice(error);
        object["action"] = error.action.as_str().into();
        object["endpoint"] = error.endpoint.as_ref().map(ToString::to_string).into();
        object["layer"] = error.layer().as_str().into();
        object["attempts"] = error.attempts.into();
        object["elapsed_ms"] = u64::try_from(error.elapsed.as_millis()).unwrap_or(u64::MAX).into();
        object["outcome"] = error.outcome().map(Outcome::as_str).into();
        object["likely_cause"] = cause.into();
        object["next"] = next.into();
        if let Some(refusal) = error.server_error() {
            object["reason"] = refusal.reason.as_str().into();
            object["code"] = format!("{:?}", refusal.code).into();
            object["details"] = json!(refusal.details);
        }
    }
    json!({"error": object})
}

/// The likely cause and the next command to try.
fn advice(error: &Error) -> (&'static str, String) {
    let (cause, next) = general_advice(error);
    let next = match (error.action, next) {
        (_, COMMANDS_HELP) => format!("kontiki {} --help", command(error.action)),
        // Not the command that has just failed.
        (Action::Status | Action::Members, next) if next.starts_with("kontiki status") => {
            "kontiki health   (asks each node by itself), and the nodes' logs".to_owned()
        }
        (_, next) => next.to_owned(),
    };
    (cause, next)
}

/// Stands for the `--help` of the command that failed.
const COMMANDS_HELP: &str = "--help";

/// The command that does `action`.
fn command(action: Action) -> &'static str {
    match action {
        Action::TransferLeadership => "transfer-leader",
        Action::Range => "scan",
        Action::Members => "status",
        Action::Snapshot => "snapshot save",
        action => action.as_str(),
    }
}

fn general_advice(error: &Error) -> (&'static str, &'static str) {
    match &*error.failure {
        Failure::Usage(_) => ("", "kontiki --help"),
        Failure::Tls(_) => ("an https:// endpoint", "the same with http://, on a network that you trust"),
        Failure::Dns { .. } => (
            "a wrong host name, or one that only the nodes themselves know",
            "kontiki --endpoints http://HOST:2379 status",
        ),
        Failure::Tcp { kind, .. } => match kind {
            std::io::ErrorKind::ConnectionRefused => {
                ("no server runs there", "kontiki dev   (or name your nodes: --endpoints http://HOST:2379)")
            }
            std::io::ErrorKind::TimedOut => {
                ("the machine is down, or a firewall is between", "kontiki --timeout 30s status")
            }
            _ => ("the network", "kontiki --endpoints http://HOST:2379 status"),
        },
        Failure::NotGrpc { .. } => (
            "the port of another program, or a node's port for its peers",
            "kontiki --endpoints http://HOST:2379 status",
        ),
        Failure::Silent { .. } => {
            ("the process is frozen, or its machine does not keep up", "kontiki health")
        }
        Failure::Grpc { .. } => ("the node stopped, or the network broke", "kontiki status"),
        Failure::Timeout { .. } => {
            ("no majority of the nodes can be reached, or the disks are slow", "kontiki status")
        }
        Failure::Refused(refusal) => match refusal.known() {
            Some(Reason::Deadline) if revisions(refusal).is_some() => (
                "that node is behind, and did not reach the revision in time",
                "kontiki status   (BEHIND), then again with a longer --timeout or another node",
            ),
            Some(reason) => known(reason),
            None if refusal.reason.as_str() == WRONG_CLUSTER => {
                ("the endpoints are of different clusters", "the same with --endpoints of one cluster")
            }
            None => unknown(refusal.code),
        },
    }
}

/// Which revisions a refusal is about, if any.
fn revisions(refusal: &ServerError) -> Option<String> {
    let named = |name: &str| Some(format!("{name} {}", refusal.details.get(name)?));
    let found: Vec<String> =
        ["requested_revision", "current_revision"].iter().filter_map(|name| named(name)).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// The advice for a reason.
fn known(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::NoLeader => ("an election is under way, or no majority of the nodes is up", "kontiki status"),
        Reason::Overloaded => {
            ("more requests than the cluster can take", "again in a moment, with fewer at once")
        }
        Reason::NoSpace => (
            "a node's disk is nearly full",
            "kontiki status   (DISK), then delete and compact, or enlarge the disk",
        ),
        Reason::Compacted => ("that part of the history was compacted", "a newer --rev, or none"),
        Reason::TooMuchWork => (
            "it looks at too many keys or values in one piece, while everything else waits",
            "smaller ranges, or several requests",
        ),
        Reason::TooManyChanges => ("", "smaller ranges, or delete with --in-parts"),
        Reason::FutureRevision => ("not written yet, or a typo", "kontiki status   (REVISION)"),
        Reason::Deadline => {
            ("no majority of the nodes can be reached, or the disks are slow", "kontiki status")
        }
        Reason::TransferTargetAway => ("", "kontiki status, then another node"),
        Reason::TransferInProgress => ("", "kontiki status   (ROLE), then again if need be"),
        Reason::TransferTimedOut => {
            ("the other node is slow, behind, or cut off from the leader", "kontiki status   (ROLE, BEHIND)")
        }
        Reason::Starting => ("", "another node (--endpoints), or again in a moment"),
        Reason::Stopping => ("", "another node (--endpoints)"),
        Reason::LeaderUnreachable => {
            ("the leader is down, or cut off from the node that was asked", "kontiki status")
        }
        reason => by_kind(reason.kind()),
    }
}

fn by_kind(kind: FailureKind) -> (&'static str, &'static str) {
    match kind {
        FailureKind::InvalidArgument => ("", COMMANDS_HELP),
        FailureKind::Unimplemented => {
            ("the server is an older kontiki, or it is a port for peers", "kontiki status")
        }
        FailureKind::Unavailable => ("the cluster is changing its leader", "kontiki status"),
        FailureKind::ResourceExhausted => ("a limit of the server", "kontiki -o json status   (limits)"),
        FailureKind::DataLoss => {
            ("that node's disk holds a damaged record", "kontiki hash, and that node's log")
        }
        FailureKind::FailedPrecondition
        | FailureKind::OutOfRange
        | FailureKind::DeadlineExceeded
        | FailureKind::Aborted
        | FailureKind::Internal => ("", ""),
    }
}

/// A server that gives no reason, or one unknown here, still gives a gRPC code.
fn unknown(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::InvalidArgument => by_kind(FailureKind::InvalidArgument),
        Code::Unimplemented => by_kind(FailureKind::Unimplemented),
        Code::Unavailable => by_kind(FailureKind::Unavailable),
        Code::ResourceExhausted => by_kind(FailureKind::ResourceExhausted),
        Code::DataLoss => by_kind(FailureKind::DataLoss),
        _ => ("", ""),
    }
}

/// Says on standard error that the answer is no; not in JSON output.
pub(super) fn no(output: &Output, words: &str) -> Exit {
    if !output.is_json() {
        say(words);
    }
    Exit::No
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::NodeUrl;
    use std::time::Duration;

    fn refused_connection() -> CliError {
        let tcp =
            Failure::Tcp { kind: std::io::ErrorKind::ConnectionRefused, message: "os error 111".to_owned() };
        CliError::Client(Error {
            action: Action::Put,
            endpoint: Some(NodeUrl::parse("http://127.0.0.1:2383").unwrap()),
            attempts: 2,
            elapsed: Duration::from_millis(3),
            failure: Box::new(tcp.clone()),
            write: true,
            unreachable: vec![(NodeUrl::parse("http://127.0.0.1:2379").unwrap(), tcp)],
        })
    }

    #[test]
    fn an_error_tells_what_where_in_which_layer_why_and_what_next() {
        let expected = "\
error: put failed at http://127.0.0.1:2383 (TCP): connection refused
       also at http://127.0.0.1:2379 (TCP): connection refused
  tries:   2 in 3.0 ms
  likely:  no server runs there
  try:     kontiki dev   (or name your nodes: --endpoints http://HOST:2379)";
        assert_eq!(words(&refused_connection()), expected);
    }

    #[test]
    fn a_write_in_doubt_says_so() {
        let mut error = Error::usage(Action::Put, "");
        error.failure =
            Box::new(Failure::Grpc { message: "the connection broke".to_owned(), outcome: Outcome::Unknown });
        error.write = true;
        assert!(words(&CliError::Client(error)).contains("outcome: unknown: it may have been applied"));
    }

    #[test]
    fn another_programs_port_is_told_from_a_broken_connection() {
        let mut error = Error::usage(Action::Get, "");
        error.failure =
            Box::new(Failure::NotGrpc { message: "HTTP/1.1".to_owned(), outcome: Outcome::Unknown });
        let words = words(&CliError::Client(error));
        assert!(words.contains("the other side does not speak gRPC (HTTP/1.1)"), "{words}");
        assert!(words.contains("likely:  the port of another program"), "{words}");
    }

    #[test]
    fn the_json_form_has_the_same_facts() {
        let json = json(&refused_connection());
        let error = &json["error"];
        assert_eq!(error["layer"], "TCP");
        assert_eq!(error["endpoint"], "http://127.0.0.1:2383");
        assert_eq!(error["exit_code"], 3);
        assert_eq!(error["outcome"], "NOT_APPLIED");
        assert_eq!(error["likely_cause"], "no server runs there");
    }
}
