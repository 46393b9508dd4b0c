//! What went wrong: where, in which layer, and what that means for a write.

use crate::address::NodeUrl;
use crate::client::action::Action;
use crate::reason::{Outcome, Reason};
use crate::types::ClusterId;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tonic::Code;

/// The reason of an answer that is refused here, since it is of another cluster than those before.
pub const WRONG_CLUSTER: &str = "WRONG_CLUSTER";

/// A call failed, after all attempts.
#[derive(Clone, Debug)]
pub struct Error {
    pub action: Action,
    /// The node that `failure` is about; `None` if nothing was sent.
    pub endpoint: Option<NodeUrl>,
    /// How many attempts there were.
    pub attempts: u32,
    /// How long it took, all attempts together.
    pub elapsed: Duration,
    /// How it failed: what a server said last, if one did, or else how the last attempt ended. Boxed, as it
    /// is large and rare.
    pub failure: Box<Failure>,
    /// Whether it was a write.
    pub write: bool,
    /// The other nodes that could not be reached, and why.
    pub unreachable: Vec<(NodeUrl, Failure)>,
}

/// How one attempt failed, by the layer that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The caller asked for something that cannot be; nothing was sent.
    Usage(String),
    /// The host's name could not be resolved; nothing was sent.
    Dns { message: String },
    /// No connection could be made; nothing was sent.
    Tcp {
        /// What the operating system reported.
        kind: std::io::ErrorKind,
        /// The operating system's message.
        message: String,
    },
    /// TLS was asked for, which is not supported yet; nothing was sent.
    Tls(String),
    /// A node accepts connections and says nothing, as a frozen process does; it was only greeted.
    Silent {
        /// How long it was waited for.
        after: Duration,
    },
    /// A connection was made, but no valid answer came back.
    Grpc {
        message: String,
        /// What became of a write.
        outcome: Outcome,
    },
    /// What came back is not gRPC: the port belongs to something else.
    NotGrpc {
        message: String,
        /// What became of a write.
        outcome: Outcome,
    },
    /// The server refused or failed, and said so.
    Refused(Box<ServerError>),
    /// No answer came in time.
    Timeout {
        /// How long the caller waited.
        after: Duration,
        /// What became of a write.
        outcome: Outcome,
    },
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    pub code: Code,
    /// The server's reason, known to this version or not.
    pub reason: ServerReason,
    /// The server's message, one sentence.
    pub message: String,
    /// What became of a write.
    pub outcome: Outcome,
    /// Further facts: limits, actual values, revisions.
    pub details: BTreeMap<String, String>,
    /// After what time the server suggests to try again.
    pub retry_after: Option<Duration>,
    /// Who leads, if the server knows.
    pub leader: Option<NodeUrl>,
}

/// Why the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerReason {
    /// A reason that this version knows.
    Known(Reason),
    /// A newer reason; empty if the server gave none.
    Other(String),
}

impl ServerReason {
    /// The reason with this name.
    pub fn named(name: String) -> Self {
        Reason::named(&name).map_or(Self::Other(name), Self::Known)
    }

    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(reason) => reason.as_str(),
            Self::Other(name) => name,
        }
    }
}

/// The layer in which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The caller's own input.
    Usage,
    Dns,
    Tcp,
    Tls,
    /// The protocol on the connection.
    Grpc,
    /// The cluster: no leader, or leadership was lost.
    Raft,
    /// The server's answer to this request.
    Server,
}

impl Layer {
    /// Its usual name: "TCP".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Dns => "DNS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Grpc => "gRPC",
            Self::Raft => "Raft",
            Self::Server => "server",
        }
    }
}

impl Failure {
    /// The layer that failed.
    pub fn layer(&self) -> Layer {
        match self {
            Self::Usage(_) => Layer::Usage,
            Self::Dns { .. } => Layer::Dns,
            Self::Tcp { .. } => Layer::Tcp,
            Self::Tls(_) => Layer::Tls,
            Self::Silent { .. } | Self::Grpc { .. } | Self::NotGrpc { .. } => Layer::Grpc,
            Self::Refused(refusal) if refusal.code == Code::Unavailable => Layer::Raft,
            Self::Refused(_) => Layer::Server,
            // A node that is connected and silent is usually waiting for the others.
            Self::Timeout { .. } => Layer::Raft,
        }
    }

    /// Whether certainly nothing reached a server, but a greeting.
    pub fn before_sending(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Dns { .. } | Self::Tcp { .. } | Self::Tls(_) | Self::Silent { .. } => true,
            Self::Grpc { outcome, .. } | Self::NotGrpc { outcome, .. } => *outcome == Outcome::NotApplied,
            Self::Refused(_) | Self::Timeout { .. } => false,
        }
    }

    /// The same failure of a greeting: what it would have been followed by was not sent.
    pub(super) fn of_greeting(mut self) -> Self {
        if let Self::Grpc { outcome, .. } | Self::NotGrpc { outcome, .. } | Self::Timeout { outcome, .. } =
            &mut self
        {
            *outcome = Outcome::NotApplied;
        }
        self
    }

    /// What became of a write.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refusal) => refusal.outcome,
            Self::Timeout { outcome, .. } | Self::Grpc { outcome, .. } | Self::NotGrpc { outcome, .. } => {
                *outcome
            }
            Self::Usage(_) | Self::Dns { .. } | Self::Tcp { .. } | Self::Tls(_) | Self::Silent { .. } => {
                Outcome::NotApplied
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Tls(message) | Self::Grpc { message, .. } => f.write_str(message),
            Self::Silent { after } => {
                write!(f, "it accepts connections and said nothing for {} ms", after.as_millis())
            }
            Self::NotGrpc { message, .. } => write!(f, "the other side does not speak gRPC ({message})"),
            Self::Dns { message } => write!(f, "the name cannot be resolved: {message}"),
            Self::Tcp { kind, message } => match kind {
                std::io::ErrorKind::ConnectionRefused => write!(f, "connection refused"),
                std::io::ErrorKind::TimedOut => write!(f, "no connection in time"),
                _ => write!(f, "cannot connect: {message}"),
            },
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Timeout { after, .. } => write!(f, "no answer within {} ms", after.as_millis()),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason.as_str(), self.message.as_str()) {
            ("", "") => write!(f, "{:?}", self.code),
            ("", message) => write!(f, "{:?}: {message}", self.code),
            (reason, message) => write!(f, "{reason}: {message}"),
        }
    }
}

impl ServerError {
    /// The answer is of another cluster than those before: refused here, in words of the server.
    pub(super) fn other_cluster(of: ClusterId, before: ClusterId) -> Self {
        Self {
            code: Code::FailedPrecondition,
            reason: ServerReason::Other(WRONG_CLUSTER.to_owned()),
            message: format!(
                "the node is of cluster {of}, and the answers before came from cluster {before}"
            ),
            // It was done there.
            outcome: Outcome::Unknown,
            details: BTreeMap::new(),
            retry_after: None,
            leader: None,
        }
    }

    /// Why, if this version knows the reason.
    pub fn known(&self) -> Option<Reason> {
        match self.reason {
            ServerReason::Known(reason) => Some(reason),
            ServerReason::Other(_) => None,
        }
    }
}

impl Error {
    /// A mistake by the caller, found before anything was sent.
    pub fn usage(action: Action, message: impl Into<String>) -> Self {
        let failure = Box::new(Failure::Usage(message.into()));
        Self {
            action,
            endpoint: None,
            attempts: 0,
            elapsed: Duration::ZERO,
            failure,
            write: false,
            unreachable: Vec::new(),
        }
    }

    /// The layer that failed.
    pub fn layer(&self) -> Layer {
        self.failure.layer()
    }

    /// What became of the write; `None` if it was not a write.
    pub fn outcome(&self) -> Option<Outcome> {
        self.write.then(|| self.failure.outcome())
    }

    /// What the server said, if it was the server that refused.
    pub fn server_error(&self) -> Option<&ServerError> {
        match &*self.failure {
            Failure::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.action)?;
        if let Some(endpoint) = &self.endpoint {
            write!(f, " at {endpoint}")?;
        }
        write!(f, " ({}): {}", self.layer().as_str(), self.failure)
    }
}

impl std::error::Error for Error {}
