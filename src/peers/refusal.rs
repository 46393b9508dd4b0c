//! Why a peer is refused, as seen by both sides.

use std::collections::HashMap;
use std::fmt;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of the reasons in an `ErrorInfo`.
const DOMAIN: &str = "kontiki";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The peer belongs to another cluster.
    WrongCluster,
    /// The peer meant another node.
    WrongRecipient,
    /// The peer is not a member.
    UnknownMember,
    /// The peer's shared settings differ.
    SettingsDiffer,
    /// The peer's program does not support the cluster's version.
    VersionTooOld,
    /// The peer is a member whose data directory was replaced.
    MemberWiped,
    /// The peer is a member that runs twice, on copies of one data directory.
    MemberTwice,
    /// Not now: the node is starting, stopping, or cannot store the peer's directory.
    NotReady,
}

impl RefusalKind {
    const ALL: [Self; 8] = [
        Self::WrongCluster,
        Self::WrongRecipient,
        Self::UnknownMember,
        Self::SettingsDiffer,
        Self::VersionTooOld,
        Self::MemberWiped,
        Self::MemberTwice,
        Self::NotReady,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::WrongCluster => "WRONG_CLUSTER",
            Self::WrongRecipient => "WRONG_RECIPIENT",
            Self::UnknownMember => "UNKNOWN_MEMBER",
            Self::SettingsDiffer => "SETTINGS_DIFFER",
            Self::VersionTooOld => "VERSION_TOO_OLD",
            Self::MemberWiped => "MEMBER_WIPED",
            Self::MemberTwice => "MEMBER_TWICE",
            Self::NotReady => "NOT_READY",
        }
    }

    fn code(self) -> Code {
        match self {
            Self::NotReady => Code::Unavailable,
            _ => Code::FailedPrecondition,
        }
    }
}

/// A peer was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PeerRefusal {
    pub kind: RefusalKind,
    /// What differs, and what to do.
    pub text: String,
}

impl fmt::Display for PeerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.text)
    }
}

impl PeerRefusal {
    pub fn new(kind: RefusalKind, text: String) -> Self {
        Self { kind, text }
    }

    /// The refusal in a peer's answer, if the status is one.
    pub fn of(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
        let kind = RefusalKind::ALL.into_iter().find(|kind| kind.name() == info.reason)?;
        Some(Self { kind, text: status.message().to_owned() })
    }
}

impl From<PeerRefusal> for Status {
    fn from(refusal: PeerRefusal) -> Self {
        let details = ErrorDetails::with_error_info(refusal.kind.name(), DOMAIN, HashMap::new());
        Status::with_error_details(refusal.kind.code(), refusal.text, details)
    }
}

/// A status with a reason other than a refusal's.
pub(in crate::peers) fn status(
    code: Code,
    reason: &str,
    text: String,
    metadata: HashMap<String, String>,
) -> Status {
    Status::with_error_details(code, text, ErrorDetails::with_error_info(reason, DOMAIN, metadata))
}

/// The answer to a client that uses the peer listener by mistake.
pub fn wrong_listener(name: &str, client_url: &str) -> Status {
    let text =
        format!("this is where {name} listens for other nodes; it listens for clients at {client_url}");
    let facts = [("outcome", "NOT_APPLIED"), ("client_url", client_url)];
    let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned()));
    status(
        Code::FailedPrecondition,
        crate::reason::Reason::WrongListener.as_str(),
        text,
        HashMap::from(facts),
    )
}

/// The refusal for a node that is not, or no longer, a member.
pub(in crate::peers) fn no_such_member() -> PeerRefusal {
    PeerRefusal::new(RefusalKind::UnknownMember, "no such member".into())
}
