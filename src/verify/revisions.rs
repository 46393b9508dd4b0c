//! The order that the revisions claim.
//!
//! A store that counts its changes tells their order: a change has the revision that it made, a read (and a
//! failed swap) the revision that it saw, which places it after that change and before the next. Only
//! operations of unknown outcome have no revision; where one must have happened is found by the same search
//! as elsewhere, with revisions in place of time. That is hardly a search, since an operation with a revision
//! has only one place.
//!
//! The resulting order is checked twice: the search has checked that it explains every answer, and
//! [`keeps_time`] checks it against the clock. That *is* the definition of linearizability, so the order is a
//! proof wherever it came from: wrong revisions can make this fail, but can never make it say yes. If it
//! fails, the key is searched with the clock alone, and the revisions are known to be wrong.
//!
//! Revisions promise more than linearizable keys: one order for the whole
//! store, in which no two changes share a number ([`Revisions::contradiction`]).

use crate::verify::history::Operation;
use crate::verify::limits::Limits;
use crate::verify::register::{NEVER, Register, Step};
use crate::verify::search::{Found, search};
use crate::verify::shrink::shrink;
use crate::verify::violation::{Kind, Violation};
use std::collections::HashMap;

/// What the revisions of one key say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// An order that explains every answer and keeps to the clock.
    Proven,
    /// Nothing that can be relied on.
    Silent,
    /// No order follows these revisions: a smallest set of operations that shows it.
    Contradicted(Vec<usize>),
}

pub(super) struct Revisions<'a> {
    operations: &'a [Operation],
    /// Operations with a revision in the order that they claim.
    order: Vec<usize>,
    /// All revisions that occur, ascending.
    known: Vec<u64>,
    /// Times of completion, ascending, each with the highest revision answered by then.
    answered: Vec<(u64, u64)>,
}

impl<'a> Revisions<'a> {
    pub(super) fn new(operations: &'a [Operation]) -> Self {
        let revision = |place: &usize| operations[*place].revision();
        let mut order: Vec<usize> = (0..operations.len()).filter(|place| revision(place).is_some()).collect();
        // A change comes before the operations that see it; these are ordered by time.
        order.sort_by_cached_key(|place| {
            let operation = &operations[*place];
            (operation.revision(), !operation.is_effect(), operation.invoked_ns)
        });
        let mut known: Vec<u64> = order.iter().filter_map(revision).collect();
        known.dedup();
        let mut answered: Vec<(u64, u64)> = order
            .iter()
            .filter_map(|place| Some((operations[*place].completed_ns()?, revision(place)?)))
            .collect();
        answered.sort_unstable();
        let mut highest = 0;
        for (_, revision) in &mut answered {
            highest = highest.max(*revision);
            *revision = highest;
        }
        Self { operations, order, known, answered }
    }

    /// Two operations, of any keys, whose revisions contradict each other: two
    /// changes share one, a key has two values at one, or revisions went back in time.
    pub(super) fn contradiction(&self) -> Option<Violation> {
        let (one, other) = self.shared().or_else(|| self.backwards()).or_else(|| self.two_faced())?;
        let pair = [one, other].map(|place| &self.operations[place]);
        Some(Violation::new(Kind::Revisions, pair.into_iter(), std::iter::empty()))
    }

    fn shared(&self) -> Option<(usize, usize)> {
        self.order.windows(2).map(|pair| (pair[0], pair[1])).find(|(one, other)| {
            let (one, other) = (&self.operations[*one], &self.operations[*other]);
            one.is_effect() && other.is_effect() && one.revision() == other.revision()
        })
    }

    fn backwards(&self) -> Option<(usize, usize)> {
        let (later, earlier) = keeps_time(self.operations, &self.order).err()?;
        Some((earlier, later))
    }

    fn two_faced(&self) -> Option<(usize, usize)> {
        let mut faces = HashMap::new();
        for place in &self.order {
            let operation = &self.operations[*place];
            let face = if operation.is_effect() { operation.brings() } else { operation.saw() };
            let Some(face) = face else { continue };
            let (first, seen) =
                *faces.entry((&operation.key, operation.revision())).or_insert((*place, face));
            if seen != face {
                return Some((first, *place));
            }
        }
        None
    }

    /// What the revisions say of a key, given the places of its operations.
    pub(super) fn claim(&self, places: &[usize], limits: &Limits) -> Claim {
        let operations = || places.iter().map(|place| (*place, &self.operations[*place]));
        let completed = |operation: &Operation| operation.completed_ns().is_some();
        if operations().any(|(_, operation)| completed(operation) && operation.revision().is_none()) {
            return Claim::Silent;
        }
        let mut register = Register::new(operations());
        for step in register.required.iter_mut().chain(&mut register.optional) {
            self.relabel(step);
        }
        register.tidy();
        match search(&register, &mut limits.budget()) {
            Found::GaveUp => Claim::Silent,
            Found::Nothing { reached } => Claim::Contradicted(shrink(&register, reached, limits)),
            Found::Order(order) => match keeps_time(self.operations, &order) {
                Ok(()) => Claim::Proven,
                Err(_) => Claim::Silent,
            },
        }
    }

    /// Puts revisions in place of time: a change at one moment, those who saw it at the next, operations of
    /// unknown outcome after the last revision that was known when they were called.
    fn relabel(&self, step: &mut Step) {
        let moment = |revision: u64| 4 * self.known.partition_point(|known| *known < revision) as u64;
        let operation = &self.operations[step.index];
        if let Some(revision) = operation.revision() {
            let saw = if operation.is_effect() { 0 } else { 1 };
            step.invoked = moment(revision) + saw;
            step.completed = step.invoked;
        } else {
            let before = self.answered.partition_point(|(completed, _)| *completed < operation.invoked_ns);
            let last = before.checked_sub(1).map(|place| self.answered[place].1);
            step.invoked = last.map_or(0, |revision| moment(revision) + 2);
            step.completed = NEVER;
        }
    }
}

/// Checks that no operation is placed after one that was called after it completed; else answers such a pair,
/// in the order in which they were placed.
fn keeps_time(operations: &[Operation], order: &[usize]) -> Result<(), (usize, usize)> {
    let Some(mut latest) = order.first().copied() else { return Ok(()) };
    for place in order {
        if operations[*place].completed_ns().is_some_and(|end| end < operations[latest].invoked_ns) {
            return Err((latest, *place));
        }
        if operations[*place].invoked_ns > operations[latest].invoked_ns {
            latest = *place;
        }
    }
    Ok(())
}
