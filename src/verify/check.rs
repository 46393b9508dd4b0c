//! The verdict on a whole history.

use crate::verify::history::{History, Operation};
use crate::verify::limits::Limits;
use crate::verify::register::Register;
use crate::verify::revisions::{Claim, Revisions};
use crate::verify::search::{Found, search};
use crate::verify::shrink::shrink;
use crate::verify::violation::{Kind, Violation};
use std::collections::{BTreeMap, HashSet};

/// Whether a history is linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains every answer, and the revisions, if any,
    /// do not contradict it.
    Linearizable,
    /// There is none; or the revisions contradict what was done.
    NotLinearizable(Box<Violation>),
    /// The limits were reached before it was known; why, in words.
    Undecided(String),
}

/// Judges a history.
///
/// What is reported first: a key that has no order, then revisions that are wrong, then a key that cost too much.
pub fn check(history: &History, limits: &Limits) -> Verdict {
    let operations = history.operations();
    let mut keys: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        keys.entry(&operation.key).or_default().push(index);
    }
    let revisions = Revisions::new(operations);
    let mut lie = revisions.contradiction();
    let mut undecided = None;
    for (key, places) in keys {
        let claim = revisions.claim(&places, limits);
        if claim == Claim::Proven {
            continue;
        }
        let register = Register::new(places.iter().map(|place| (*place, &operations[*place])));
        match search(&register, &mut limits.budget()) {
            Found::Order(_) => {}
            Found::GaveUp => undecided = undecided.or(Some(key)),
            Found::Nothing { reached } => {
                let core = shrink(&register, reached, limits);
                let violation = violation(operations, &places, &core, Kind::Order);
                return Verdict::NotLinearizable(Box::new(violation));
            }
        }
        if let Claim::Contradicted(core) = claim {
            lie = lie.or_else(|| Some(violation(operations, &places, &core, Kind::Revisions)));
        }
    }
    match (lie, undecided) {
        (Some(lie), _) => Verdict::NotLinearizable(Box::new(lie)),
        (None, Some(key)) => {
            let configurations = limits.configurations;
            Verdict::Undecided(format!(
                "gave up on key {key:?}: {configurations} configurations are not enough"
            ))
        }
        (None, None) => Verdict::Linearizable,
    }
}

/// Describes a contradiction, with the other operations of its key as context.
fn violation(operations: &[Operation], places: &[usize], core: &[usize], kind: Kind) -> Violation {
    let known: HashSet<&usize> = core.iter().collect();
    let others = places.iter().filter(|place| !known.contains(place)).map(|place| &operations[*place]);
    Violation::new(kind, core.iter().map(|place| &operations[*place]), others)
}
