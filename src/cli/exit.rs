//! What the exit code says: a script branches on the kind of failure without
//! reading words.

use crate::bench::error::BenchError;
use crate::client::{self, Failure, Outcome};
use crate::config::ConfigError;
use crate::dev::DevError;
use std::process::ExitCode;
use tonic::Code;

/// The section of `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  the answer is no: key absent, the cluster cannot serve, hashes differ,
     history not linearizable; or a local failure (of verify: 2)
  2  wrong usage or configuration
  3  no node could be reached, or the cluster has no leader; nothing was done
  4  no answer in time, the outcome of a write is unknown, or verify is undecided
  5  the server refused the request
  6  conflict: a condition did not hold, and nothing was done (or the else branch was)

Errors go to standard error, with -o json as a JSON object.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    /// Done, and the answer is no; or a local failure.
    No = 1,
    Usage = 2,
    /// Nobody could serve the request; nothing was done.
    Unreachable = 3,
    /// It is not known whether it was done.
    Unknown = 4,
    /// The server refused it.
    Refused = 5,
    /// A condition did not hold.
    Conflict = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is no usable configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error(transparent)]
    Dev(#[from] DevError),
    /// Something on this machine failed.
    #[error("cannot {doing}: {source}")]
    Local {
        /// What was tried, as "write FILE".
        doing: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What a write answered could not be printed.
    #[error("cannot write to standard output: {0}; the request itself was carried out")]
    Unsaid(std::io::Error),
    /// Standard output does not take what is printed.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// The reader of standard output has gone away, as `head` does: not worth a message.
    #[error("standard output is closed")]
    OutputClosed,
}

impl CliError {
    /// Something on this machine failed while `doing` it.
    pub fn local(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Local { doing: doing.into(), source: source.into() }
    }

    /// The same, where it came after a write had been answered.
    pub(super) fn after_a_write(self) -> Self {
        match self {
            Self::Output(error) => Self::Unsaid(error),
            other => other,
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => exit_of(error),
            Self::Usage(_) | Self::Config(_) => Exit::Usage,
            Self::Bench(error) => exit_of_bench(error),
            Self::Dev(error) if error.is_usage() => Exit::Usage,
            Self::Local { .. } | Self::Output(_) | Self::Unsaid(_) | Self::Dev(_) => Exit::No,
            Self::OutputClosed => Exit::Ok,
        }
    }
}

fn exit_of(error: &client::Error) -> Exit {
    match &*error.failure {
        Failure::Usage(_) | Failure::Tls(_) => Exit::Usage,
        Failure::Dns { .. } | Failure::Tcp { .. } | Failure::Silent { .. } => Exit::Unreachable,
        Failure::Timeout { .. } => Exit::Unknown,
        _ if error.outcome() == Some(Outcome::Unknown) => Exit::Unknown,
        Failure::Grpc { .. } | Failure::NotGrpc { .. } => Exit::Unreachable,
        Failure::Refused(refusal) => match refusal.code {
            Code::Unavailable => Exit::Unreachable,
            Code::DeadlineExceeded | Code::Cancelled => Exit::Unknown,
            Code::AlreadyExists => Exit::Conflict,
            _ => Exit::Refused,
        },
    }
}

fn exit_of_bench(error: &BenchError) -> Exit {
    match error {
        BenchError::Usage(_) => Exit::Usage,
        BenchError::Unreachable(_) | BenchError::Connect { .. } | BenchError::NoLeader => Exit::Unreachable,
        BenchError::Preload { .. } | BenchError::System(_) => Exit::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Error, ServerError, ServerReason};
    use std::time::Duration;

    fn exit(write: bool, failure: Failure) -> Exit {
        let mut error = Error::usage(crate::client::Action::Put, "");
        error.failure = Box::new(failure);
        error.write = write;
        CliError::Client(error).exit()
    }

    fn refused(code: Code, outcome: Outcome) -> Failure {
        Failure::Refused(Box::new(ServerError {
            code,
            reason: ServerReason::Other(String::new()),
            message: String::new(),
            outcome,
            details: std::collections::BTreeMap::new(),
            retry_after: None,
            leader: None,
        }))
    }

    #[test]
    fn each_kind_of_failure_has_its_code() {
        use Outcome::{NotApplied, Unknown};
        let tcp = Failure::Tcp { kind: std::io::ErrorKind::ConnectionRefused, message: String::new() };
        let timeout = Failure::Timeout { after: Duration::ZERO, outcome: Unknown };
        assert_eq!(exit(true, Failure::Usage(String::new())), Exit::Usage);
        assert_eq!(exit(true, Failure::Tls(String::new())), Exit::Usage);
        assert_eq!(exit(true, Failure::Dns { message: String::new() }), Exit::Unreachable);
        assert_eq!(exit(true, tcp), Exit::Unreachable);
        assert_eq!(exit(true, timeout.clone()), Exit::Unknown);
        assert_eq!(exit(false, timeout), Exit::Unknown);
        let broke = |outcome| Failure::Grpc { message: String::new(), outcome };
        assert_eq!(exit(true, broke(Unknown)), Exit::Unknown, "the write may be done");
        assert_eq!(exit(true, broke(NotApplied)), Exit::Unreachable, "before it was sent");
        assert_eq!(exit(false, broke(Unknown)), Exit::Unreachable);
        assert_eq!(exit(true, Failure::Silent { after: Duration::ZERO }), Exit::Unreachable);
        assert_eq!(exit(true, refused(Code::Unavailable, NotApplied)), Exit::Unreachable);
        assert_eq!(exit(true, refused(Code::Unavailable, Unknown)), Exit::Unknown);
        assert_eq!(exit(true, refused(Code::DeadlineExceeded, NotApplied)), Exit::Unknown);
        assert_eq!(exit(true, refused(Code::InvalidArgument, NotApplied)), Exit::Refused);
        assert_eq!(exit(true, refused(Code::ResourceExhausted, NotApplied)), Exit::Refused);
        assert_eq!(exit(false, refused(Code::OutOfRange, Unknown)), Exit::Refused);
        assert_eq!(exit(true, refused(Code::AlreadyExists, NotApplied)), Exit::Conflict);
        assert_eq!(CliError::Usage(String::new()).exit(), Exit::Usage);
        assert_eq!(CliError::local("x", "y").exit(), Exit::No);
    }

    #[test]
    fn the_help_tells_every_code() {
        for code in 0..=6 {
            assert!(HELP.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
