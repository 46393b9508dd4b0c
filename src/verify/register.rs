//! The model: one key as a list of small numbers.

use crate::verify::history::{Answer, Call, Completion, Operation};
use crate::verify::value::Value;
use std::collections::HashMap;

/// A value, by its place in the list of all values of the key.
pub(super) type Number = u32;

/// What a register holds before the first write.
pub(super) const ABSENT: Number = 0;

/// The completion time of what never completes.
pub(super) const NEVER: u64 = u64::MAX;

/// What the register must hold for an operation to get its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Anything,
    Is(Number),
    IsNot(Number),
}

impl Needs {
    pub(super) fn holds_in(self, state: Number) -> bool {
        match self {
            Self::Anything => true,
            Self::Is(value) => state == value,
            Self::IsNot(value) => state != value,
        }
    }
}

/// An operation as the search sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its place in the history.
    pub index: usize,
    pub needs: Needs,
    /// What it leaves in the register, if it changes it.
    pub gives: Option<Number>,
    pub invoked: u64,
    /// [`NEVER`] if it is optional.
    pub completed: u64,
}

/// The operations of one key, without those that tell nothing about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Register {
    /// Operations that must be in the order; by time of call.
    pub required: Vec<Step>,
    /// Operations that may be in the order, anywhere after their call; by time of call.
    pub optional: Vec<Step>,
    /// How many different values there are.
    pub values: usize,
}

impl Register {
    /// From the operations of one key, with their places in the history.
    pub(super) fn new<'a>(operations: impl Iterator<Item = (usize, &'a Operation)>) -> Self {
        let mut numbers = HashMap::from([(&Value::ABSENT, ABSENT)]);
        let mut register = Self::default();
        for (index, operation) in operations {
            let Some((needs, gives)) = meaning(operation, &mut numbers) else { continue };
            let completed = operation.completed_ns().unwrap_or(NEVER);
            let step = Step { index, needs, gives, invoked: operation.invoked_ns, completed };
            if completed == NEVER { &mut register.optional } else { &mut register.required }.push(step);
        }
        register.values = numbers.len();
        register.tidy();
        register
    }

    /// Restores the order by time of call, and leaves out the optional
    /// operations that no order needs: what nobody sees may as well not have happened.
    pub(super) fn tidy(&mut self) {
        self.required.sort_by_key(|step| (step.invoked, step.completed, step.index));
        self.optional.sort_by_key(|step| (step.invoked, step.index));
        // A failed swap may have seen any value.
        if self.required.iter().any(|step| matches!(step.needs, Needs::IsNot(_))) {
            return;
        }
        let mut givers = vec![Vec::new(); self.values];
        for step in &self.optional {
            if let (Some(value), Needs::Is(old)) = (step.gives, step.needs) {
                givers[value as usize].push(old);
            }
        }
        // Values that an answer had, and those that a swap had to find for it.
        let needed = self.required.iter().filter_map(|step| match step.needs {
            Needs::Is(value) => Some(value),
            _ => None,
        });
        let mut open: Vec<Number> = needed.collect();
        let mut seen = vec![false; self.values];
        while let Some(value) = open.pop() {
            if !std::mem::replace(&mut seen[value as usize], true) {
                open.append(&mut givers[value as usize]);
            }
        }
        self.optional.retain(|step| step.gives.is_some_and(|value| seen[value as usize]));
    }
}

/// What an operation needs and gives, or nothing if it can be left out: it was
/// not done, or nobody knows what it saw.
fn meaning<'a>(
    operation: &'a Operation,
    numbers: &mut HashMap<&'a Value, Number>,
) -> Option<(Needs, Option<Number>)> {
    let mut number = |value: &'a Value| {
        let next = u32::try_from(numbers.len()).expect("fewer values than a u32 counts");
        *numbers.entry(value).or_insert(next)
    };
    match (&operation.call, &operation.outcome) {
        (_, Completion::Failed) | (Call::Read, Completion::Unknown) => None,
        (_, Completion::Ok { answer: Answer::Read(value), .. }) => Some((Needs::Is(number(value)), None)),
        (Call::Read, _) => None,
        (Call::Write(value), _) => Some((Needs::Anything, Some(number(value)))),
        (Call::Cas { old, .. }, Completion::Ok { answer: Answer::Swapped(false), .. }) => {
            Some((Needs::IsNot(number(old)), None))
        }
        (Call::Cas { old, new }, outcome) => {
            let (old, new) = (number(old), number(new));
            // Swapping a value for itself is reading it; with an unknown outcome it is nothing.
            match outcome {
                Completion::Unknown if old == new => None,
                _ => Some((Needs::Is(old), (old != new).then_some(new))),
            }
        }
    }
}
