//! The encoding of faults, sent from the leader to the client's node.

use crate::api::fault::{Details, Fault, LeaderHint};
use crate::proto::raft as pb;
use crate::reason::{Outcome, Reason};
use std::time::Duration;

/// The most facts of a fault.
const FACTS_MAX: usize = 32;

pub fn fault(fault: Fault) -> pb::Fault {
    let Details { reason, message, outcome, field, retry, leader, facts } = fault.into_details();
    pb::Fault {
        reason: reason.as_str().into(),
        message,
        outcome: outcome.map_or("", Outcome::as_str).into(),
        field: field.unwrap_or_default(),
        retry_micros: retry.map(micros),
        leader: leader.map(|hint| pb::Leader {
            node_id: hint.id,
            name: hint.name.unwrap_or_default(),
            client_url: hint.url.unwrap_or_default(),
        }),
        facts: facts.into_iter().map(|(name, value)| (name.into_owned(), value)).collect(),
    }
}

/// Decodes a fault. If the reason is unknown here, it still says what became of the write.
pub fn read_fault(wire: pb::Fault) -> Fault {
    let known = |text: String| (!text.is_empty()).then_some(text);
    let message = match Reason::named(&wire.reason) {
        Some(_) => wire.message,
        None => format!("{}: {}", wire.reason, wire.message),
    };
    // The map has no order, and equal faults must decode equally.
    let mut facts: Vec<_> = wire.facts.into_iter().map(|(name, value)| (name.into(), value)).collect();
    facts.sort_unstable();
    facts.truncate(FACTS_MAX);
    Fault::from(Details {
        reason: Reason::named(&wire.reason).unwrap_or(Reason::Internal),
        message,
        outcome: match &*wire.outcome {
            "" => None,
            outcome => Some(Outcome::named(outcome).unwrap_or(Outcome::Unknown)),
        },
        field: known(wire.field),
        retry: wire.retry_micros.map(Duration::from_micros),
        leader: wire.leader.map(|leader| LeaderHint {
            id: leader.node_id,
            name: known(leader.name),
            url: known(leader.client_url),
        }),
        facts,
    })
}

/// A time in whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_arrives_as_it_was_sent() {
        let hint = LeaderHint { id: 2, name: Some("n2".into()), url: None };
        let faults = [
            Fault::new(Reason::NoSpace, "the disk is full").not_applied(),
            Fault::over(Reason::KeyTooLong, "key", "the key is too long", 8, 9).inside("put"),
            Fault::new(Reason::LeadershipLost, "").unknown().leader(hint).retry_after(Duration::ZERO),
            Fault::new(Reason::Compacted, "gone").fact("a", 1).fact("b", 2),
        ];
        for sent in faults {
            let read = read_fault(fault(sent.clone()));
            let mut expected = sent.into_details();
            expected.facts.sort_unstable();
            assert_eq!(read, Fault::from(expected));
        }
    }

    #[test]
    fn an_outcome_or_reason_of_a_newer_version_claims_nothing() {
        let newer = pb::Fault { reason: "NEW".into(), outcome: "HALF".into(), ..Default::default() };
        let fault = read_fault(newer);
        assert_eq!((fault.reason(), fault.outcome()), (Reason::Internal, Some(Outcome::Unknown)));
        assert!(fault.message().contains("NEW"));
    }
}
