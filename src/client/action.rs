//! What a call asks for.

use std::fmt;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Naming the nodes: nothing is sent yet.
    Connect,
    Put,
    Get,
    Delete,
    Range,
    Scan,
    Txn,
    Compact,
    Status,
    Members,
    TransferLeadership,
    Hash,
    Snapshot,
    Health,
}

impl Action {
    /// For messages, as a verb where it can be one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Put => "put",
            Self::Get => "get",
            Self::Delete => "delete",
            Self::Range => "range",
            Self::Scan => "scan",
            Self::Txn => "txn",
            Self::Compact => "compact",
            Self::Status => "status",
            Self::Members => "members",
            Self::TransferLeadership => "transfer leadership",
            Self::Hash => "hash",
            Self::Snapshot => "snapshot",
            Self::Health => "health",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
