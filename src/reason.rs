//! Why a request fails, and what became of it, as the server, the client and the command line all name it.
//! The reasons are a closed list, since programs branch on them.

use std::fmt;

/// What became of a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was certainly not applied and never will be.
    NotApplied,
    /// It may have been applied, may be applied later, or never.
    Unknown,
}

impl Outcome {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotApplied => "NOT_APPLIED",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The outcome with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::NotApplied, Self::Unknown].into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// The kinds of failure, by gRPC's names. Each protocol has its own code for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request itself is wrong.
    InvalidArgument,
    /// The request is valid, but not here and now.
    FailedPrecondition,
    /// What was asked for is no longer there, or not yet.
    OutOfRange,
    /// There is no such method.
    Unimplemented,
    /// A node that is needed is away. Sending it again may help.
    Unavailable,
    /// A limit is reached.
    ResourceExhausted,
    /// There was no answer before the caller's deadline; what was asked may go on.
    DeadlineExceeded,
    /// What was started was given up.
    Aborted,
    /// Stored data is damaged.
    DataLoss,
    /// The server broke a rule of its own.
    Internal,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $kind:ident;)+) => {
        /// Why a request failed. The name on the wire is the upper-case form;
        /// neither it nor its kind ever changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All reasons, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What kind of failure it is.
            pub const fn kind(self) -> FailureKind {
                match self {
                    $(Self::$name => FailureKind::$kind,)+
                }
            }

            /// The reason with this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }
        }
    };
}

reasons! {
    // About the request itself. Sending it again does not help.

    /// A key is required and was not given.
    KeyMissing = "KEY_MISSING", InvalidArgument;
    /// A key has no bytes.
    KeyEmpty = "KEY_EMPTY", InvalidArgument;
    /// A key, prefix or bound is longer than a key may be.
    KeyTooLong = "KEY_TOO_LONG", InvalidArgument;
    /// No variant of the selector is set.
    SelectorMissing = "SELECTOR_MISSING", InvalidArgument;
    /// A prefix has no bytes; `all` says that every key is meant.
    PrefixEmpty = "PREFIX_EMPTY", InvalidArgument;
    /// A span's end is not after its start.
    RangeInverted = "RANGE_INVERTED", InvalidArgument;
    /// `all` is set to false, which names no keys.
    AllFalse = "ALL_FALSE", InvalidArgument;
    /// An enum has a value that this version does not know, or is unset where one is required.
    EnumUnknown = "ENUM_UNKNOWN", InvalidArgument;
    /// A revision or limit is below the smallest valid one.
    NumberTooSmall = "NUMBER_TOO_SMALL", InvalidArgument;
    /// The page asked for has more keys than a page may have.
    PageTooLarge = "PAGE_TOO_LARGE", InvalidArgument;
    /// The page token is damaged, or belongs to another range, order or revision.
    PageTokenInvalid = "PAGE_TOKEN_INVALID", InvalidArgument;
    /// The request is larger than a request may be.
    RequestTooLarge = "REQUEST_TOO_LARGE", InvalidArgument;
    /// The answer would be larger than an answer may be.
    ReplyTooLarge = "REPLY_TOO_LARGE", InvalidArgument;
    /// A branch of a transaction has too many operations.
    TooManyOps = "TOO_MANY_OPS", InvalidArgument;
    /// The request would remove too many keys at once.
    TooManyChanges = "TOO_MANY_CHANGES", InvalidArgument;
    /// The request would take too much work in one piece.
    TooMuchWork = "TOO_MUCH_WORK", InvalidArgument;
    /// A transaction that writes reads a range of keys at an earlier revision.
    PastRange = "PAST_RANGE", InvalidArgument;
    /// A transaction has too many compares.
    TooManyCompares = "TOO_MANY_COMPARES", InvalidArgument;
    /// Transactions are nested too deeply.
    TooDeep = "TOO_DEEP", InvalidArgument;
    /// An operation of a transaction is unset.
    OpMissing = "OP_MISSING", InvalidArgument;
    /// A compare's operand is absent, or of the wrong type for its target.
    OperandMismatch = "OPERAND_MISMATCH", InvalidArgument;
    /// A field is set that has no meaning in combination with the others.
    FieldNotAllowed = "FIELD_NOT_ALLOWED", InvalidArgument;
    /// A transaction would change one key twice.
    DuplicateKey = "DUPLICATE_KEY", InvalidArgument;
    /// Leadership cannot be handed to this node: it is unknown, not a voter, or leads already.
    BadTransferTarget = "BAD_TRANSFER_TARGET", InvalidArgument;
    /// A client asked on the listener for other nodes; the details say where clients ask.
    WrongListener = "WRONG_LISTENER", FailedPrecondition;
    /// No member has this id.
    MemberUnknown = "MEMBER_UNKNOWN", FailedPrecondition;
    /// The bytes are not a message of this type.
    Malformed = "MALFORMED", InvalidArgument;
    /// The server has no such service or method, or not in this encoding.
    MethodUnknown = "METHOD_UNKNOWN", Unimplemented;

    // About the store at the moment.

    /// The revision was compacted: read a newer one.
    Compacted = "COMPACTED", OutOfRange;
    /// The revision has not happened yet.
    FutureRevision = "FUTURE_REVISION", OutOfRange;

    // About the cluster at the moment. Sending it again may help.

    /// This node does not lead, and the request was already forwarded once.
    NotLeader = "NOT_LEADER", Unavailable;
    /// No leader is known: an election is under way, or there is no majority.
    NoLeader = "NO_LEADER", Unavailable;
    /// Leadership is being handed over.
    LeadershipTransfer = "LEADERSHIP_TRANSFER", Unavailable;
    /// A new leader replaced the write before it was committed.
    Superseded = "SUPERSEDED", Unavailable;
    /// The node that had the write can no longer say what became of it. The outcome is UNKNOWN.
    LeadershipLost = "LEADERSHIP_LOST", Unavailable;
    /// The leader could not be reached, or the connection broke.
    LeaderUnreachable = "LEADER_UNREACHABLE", Unavailable;
    /// The members cannot be changed: an earlier change is not committed yet.
    MembersBusy = "MEMBERS_BUSY", Unavailable;
    /// The node is new and waits for the other members to accept it; other nodes may be serving.
    Starting = "STARTING", Unavailable;
    /// The node is stopping.
    Stopping = "STOPPING", Unavailable;
    /// Too much is waiting on this node.
    Overloaded = "OVERLOADED", ResourceExhausted;
    /// The leader's disk is nearly full: writes are refused until there is room again, reads go on.
    NoSpace = "NO_SPACE", ResourceExhausted;
    /// The client does not read what it asked for.
    SlowReader = "SLOW_READER", ResourceExhausted;
    /// There was no answer before the caller's deadline.
    Deadline = "DEADLINE", DeadlineExceeded;
    /// The target of a leadership transfer does not follow the leader at the moment: leadership stays where it is.
    TransferTargetAway = "TRANSFER_TARGET_AWAY", FailedPrecondition;
    /// Leadership is being handed over already: that transfer ends first.
    TransferInProgress = "TRANSFER_IN_PROGRESS", FailedPrecondition;
    /// The target of a leadership transfer did not take over in time. The outcome says whether it still may.
    TransferTimedOut = "TRANSFER_TIMED_OUT", Aborted;

    // Failures of the server.

    /// The storage engine failed or found damage; the node is about to stop.
    Storage = "STORAGE", DataLoss;
    /// The snapshot could not be made.
    SnapshotFailed = "SNAPSHOT_FAILED", Internal;
    /// The server broke a rule of its own: a bug.
    Internal = "INTERNAL", Internal;
}

impl Reason {
    /// Whether the same request may succeed in a moment, on this node or on the next leader, provided that it
    /// was certainly not applied.
    pub const fn is_passing(self) -> bool {
        matches!(
            self,
            Self::NotLeader
                | Self::NoLeader
                | Self::LeadershipTransfer
                | Self::Superseded
                | Self::LeaderUnreachable
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_lead_back() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::named("NO_SUCH_REASON"), None);
        assert_eq!(Outcome::named(Outcome::Unknown.as_str()), Some(Outcome::Unknown));
    }
}
