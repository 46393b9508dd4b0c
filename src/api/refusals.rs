//! Maps the errors of the layers below to faults.

use crate::api::fault::Fault;
use crate::kv;
use crate::reason::Reason;
use crate::replica::{AdvertiseError, ReadError, SnapshotError, TransferError, WriteError};
use std::time::Duration;

/// When to try again after a refusal because of too much that waits: when that is done, but not all at once, nor
/// never.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

impl From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        match error {
            WriteError::NotLeader { .. } => Self::new(Reason::NotLeader, message).not_applied(),
            WriteError::Transferring => Self::new(Reason::LeadershipTransfer, message).not_applied(),
            WriteError::NoSpace => Self::new(Reason::NoSpace, message).not_applied(),
            WriteError::Superseded => Self::new(Reason::Superseded, message).not_applied(),
            WriteError::Overloaded(_) => Self::overloaded(message).not_applied(),
            WriteError::TooLate { wait } => {
                Self::overloaded(message).not_applied().retry_after(wait.clamp(RETRY_MIN, RETRY_MAX))
            }
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
            ReadError::Overloaded => Self::overloaded(message),
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
            TransferError::InProgress => Self::new(Reason::TransferInProgress, message).not_applied(),
            TransferError::NotFollowing { .. } => {
                Self::new(Reason::TransferTargetAway, message).not_applied()
            }
            TransferError::NotCaughtUp { .. } => Self::new(Reason::TransferTimedOut, message).not_applied(),
            TransferError::NotTakenOver { .. } | TransferError::TakenByAnother { .. } => {
                Self::new(Reason::TransferTimedOut, message).unknown()
            }
            TransferError::Stopping => Self::new(Reason::Stopping, message).not_applied(),
        }
    }
}

impl From<AdvertiseError> for Fault {
    fn from(error: AdvertiseError) -> Self {
        let message = error.to_string();
        match error {
            AdvertiseError::NotLeader { .. } => Self::new(Reason::NotLeader, message),
            AdvertiseError::NotMember(_) => Self::new(Reason::MemberUnknown, message),
            AdvertiseError::Invalid(_) => Self::new(Reason::Malformed, message),
            AdvertiseError::Busy(_) => Self::new(Reason::MembersBusy, message),
            AdvertiseError::Stopping => Self::new(Reason::Stopping, message),
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
            kv::ReadError::Abandoned => Self::deadline("the keys were read; ask for less at a time"),
            kv::ReadError::Table(error) => Self::new(Reason::Storage, error.to_string()),
        }
    }
}

impl From<kv::Refusal> for Fault {
    /// For a read. For a write, the caller adds that it was [not applied](Fault::not_applied).
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
            kv::Refusal::TooMuchWork { limit, actual } => {
                let fault = Self::new(Reason::TooMuchWork, message).fact("limit", limit);
                actual.into_iter().fold(fault, |fault, actual| fault.fact("actual", actual))
            }
            kv::Refusal::PastRange { revision } => {
                Self::new(Reason::PastRange, message).fact("requested_revision", revision)
            }
            kv::Refusal::ReplyTooLarge { limit } => {
                Self::new(Reason::ReplyTooLarge, message).fact("limit", limit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Outcome;

    /// Only a target that was told to take over may still do so.
    #[test]
    fn each_end_of_a_transfer_has_its_reason_and_outcome() {
        let (to, leader) = ("n2".to_owned(), "n1".to_owned());
        for (error, reason, outcome) in [
            (TransferError::InProgress, Reason::TransferInProgress, Outcome::NotApplied),
            (TransferError::BadTarget("n9".into()), Reason::BadTransferTarget, Outcome::NotApplied),
            (
                TransferError::NotCaughtUp { to: to.clone(), leader: leader.clone() },
                Reason::TransferTimedOut,
                Outcome::NotApplied,
            ),
            (TransferError::NotTakenOver { to, leader }, Reason::TransferTimedOut, Outcome::Unknown),
        ] {
            let fault = Fault::from(error);
            assert_eq!((fault.reason(), fault.outcome()), (reason, Some(outcome)));
        }
    }

    /// Wherever a write may have been applied, the fault must say so.
    #[test]
    fn only_an_unknown_outcome_is_unknown() {
        let all = [
            WriteError::NotLeader { leader: None },
            WriteError::Transferring,
            WriteError::Overloaded("the queue"),
            WriteError::TooLate { wait: Duration::from_secs(1) },
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
}
