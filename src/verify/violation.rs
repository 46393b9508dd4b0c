//! A contradiction in words.

use crate::verify::history::{Answer, Call, Completion, Operation};
use crate::verify::value::Value;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// What is contradicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No order of the operations explains their answers.
    Order,
    /// The key has an order, but not the one that its revisions claim.
    Revisions,
}

/// Operations that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is contradicted.
    pub kind: Kind,
    /// The key of the last answer.
    pub key: Arc<str>,
    /// The operations of the shortest offending window, by time of call. If any one of them were unknown, the
    /// others could be explained.
    pub operations: Vec<Operation>,
    /// Which of them cannot be explained given the others.
    pub culprit: usize,
    /// Other operations of the key that had, or would have had, a value that was seen. They prove nothing,
    /// but help to understand.
    pub context: Vec<Operation>,
}

/// The most operations that one sentence lists.
const GIVEN: usize = 3;

/// The most other operations that are worth showing.
const CONTEXT: usize = 6;

impl Violation {
    /// Takes the operations that contradict each other, the culprit last, and the others of the key.
    pub(super) fn new<'a>(
        kind: Kind,
        core: impl Iterator<Item = &'a Operation>,
        others: impl Iterator<Item = &'a Operation>,
    ) -> Self {
        let mut operations: Vec<Operation> = core.cloned().collect();
        let last = operations.last().expect("a contradiction has operations").clone();
        operations.sort_by_key(|operation| (operation.invoked_ns, operation.completed_ns()));
        let culprit = operations.iter().position(|operation| *operation == last).unwrap_or_default();
        let seen: HashSet<&Value> = operations.iter().filter_map(Operation::saw).collect();
        let mut context: Vec<Operation> = others
            .filter(|other| other.brings().is_some_and(|value| seen.contains(&value)))
            .cloned()
            .collect();
        context.sort_by_key(|other| (last.invoked_ns.abs_diff(other.invoked_ns), other.process));
        context.truncate(CONTEXT);
        context.sort_by_key(|other| (other.invoked_ns, other.process));
        Self { kind, key: last.key, operations, culprit, context }
    }

    /// When the window begins.
    pub fn from_ns(&self) -> u64 {
        self.operations.iter().map(|operation| operation.invoked_ns).min().unwrap_or(0)
    }

    /// When the window ends.
    pub fn until_ns(&self) -> u64 {
        self.operations.iter().filter_map(Operation::completed_ns).max().unwrap_or(0)
    }

    /// The operation that cannot be explained given the others.
    pub fn culprit(&self) -> &Operation {
        &self.operations[self.culprit]
    }

    fn why(&self) -> String {
        match self.kind {
            Kind::Revisions => self.why_revisions(),
            Kind::Order if self.operations.len() == 1 => self.why_alone(),
            Kind::Order => match self.culprit().saw() {
                Some(value) => {
                    let been =
                        if value.is_absent() { "been absent".to_owned() } else { format!("held {value}") };
                    format!("the key cannot have {been} at any moment of that time, given {}", self.given())
                }
                None => "no order of these operations explains all their answers".to_owned(),
            },
        }
    }

    /// What contradicts the culprit.
    fn given(&self) -> String {
        let others = self.operations.iter().enumerate().filter(|(place, _)| *place != self.culprit);
        let others: Vec<String> = others.map(|(_, other)| other.to_string()).collect();
        if others.len() > GIVEN {
            return format!("the {} other operations of this window", others.len());
        }
        others.join(" and ")
    }

    /// A value that no operation can have brought.
    fn why_alone(&self) -> String {
        let writers = self.context.iter();
        let mut writers = writers.filter(|other| other.brings() == self.culprit().saw()).peekable();
        if writers.peek().is_none() {
            return "which nobody ever wrote".to_owned();
        }
        let list = |writers: Vec<&Operation>| {
            writers.iter().map(|other| other.to_string()).collect::<Vec<_>>().join("; ")
        };
        let (failed, later): (Vec<&Operation>, Vec<&Operation>) =
            writers.partition(|other| other.outcome == Completion::Failed);
        if later.is_empty() {
            return format!("which was never written; only a failed operation had it: {}", list(failed));
        }
        format!("which was not written yet; that came later: {}", list(later))
    }

    fn why_revisions(&self) -> String {
        let [one, other] = self.operations.as_slice() else {
            return "no order that follows the revisions explains these answers".to_owned();
        };
        let (first, second) = (one.revision(), other.revision());
        if first == second && one.is_effect() && other.is_effect() {
            return "two changes have the same revision".to_owned();
        }
        if first == second && one.completed_ns() < Some(other.invoked_ns) && other.is_effect() {
            return "the revision was seen before it was made".to_owned();
        }
        if first > second && one.completed_ns() < Some(other.invoked_ns) {
            return "the revision went back in time".to_owned();
        }
        if first == second {
            return "the key has two values at one revision".to_owned();
        }
        "the revisions do not fit what was answered".to_owned()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Order => "is not linearizable",
            Kind::Revisions => "breaks the promise of its revisions",
        };
        write!(formatter, "key {:?} {what}: {}: {}", self.key, self.culprit(), self.why())
    }
}

impl Operation {
    /// The value that was there according to the answer.
    pub fn saw(&self) -> Option<&Value> {
        match (&self.outcome, &self.call) {
            (Completion::Ok { answer: Answer::Read(value), .. }, _) => Some(value),
            (Completion::Ok { answer: Answer::Swapped(true), .. }, Call::Cas { old, .. }) => Some(old),
            _ => None,
        }
    }

    /// The value that it leaves if it is done.
    pub fn brings(&self) -> Option<&Value> {
        match (&self.call, &self.outcome) {
            (Call::Read, _) | (_, Completion::Ok { answer: Answer::Swapped(false), .. }) => None,
            (Call::Write(value) | Call::Cas { new: value, .. }, _) => Some(value),
        }
    }

    /// A short description: what was done, without who and when.
    pub fn words(&self) -> String {
        match (&self.call, &self.outcome) {
            (Call::Read, Completion::Ok { answer: Answer::Read(Value::ABSENT), .. }) => {
                "read: absent".to_owned()
            }
            (Call::Read, Completion::Ok { answer: Answer::Read(value), .. }) => format!("read: {value}"),
            (Call::Read, _) => "read".to_owned(),
            (Call::Write(Value::ABSENT), _) => "delete".to_owned(),
            (Call::Write(value), _) => format!("write {value}"),
            (Call::Cas { old, new }, Completion::Ok { answer: Answer::Swapped(true), .. }) => {
                format!("cas {old} → {new}")
            }
            (Call::Cas { old, new }, Completion::Ok { .. }) => format!("cas {old} → {new}: refused"),
            (Call::Cas { old, new }, _) => format!("cas {old} → {new}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {}, {}", self.process, self.words())?;
        if let Some(revision) = self.revision() {
            write!(formatter, " at revision {revision}")?;
        }
        let from = moment(self.invoked_ns);
        match &self.outcome {
            Completion::Ok { completed_ns, .. } => {
                write!(formatter, " ({from} to {})", moment(*completed_ns))
            }
            Completion::Failed => write!(formatter, " (called at {from}; failed)"),
            Completion::Unknown => write!(formatter, " (called at {from}; outcome unknown)"),
        }
    }
}

/// A time in words, exact.
pub(super) fn moment(time_ns: u64) -> String {
    let (unit, name) = match time_ns {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let (whole, rest) = (time_ns / unit, time_ns % unit);
    if rest == 0 {
        return format!("{whole} {name}");
    }
    let digits = unit.ilog10() as usize;
    let rest = format!("{rest:0digits$}");
    format!("{whole}.{} {name}", rest.trim_end_matches('0'))
}
