//! Operations: what was called and what came of it.

use crate::verify::value::Value;
use std::sync::Arc;

/// What a process asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The value, please.
    Read,
    /// Let this be the value; absent deletes the key.
    Write(Value),
    /// Let `new` be the value if `old` is.
    Cas {
        /// What must be there.
        old: Value,
        /// What shall be there.
        new: Value,
    },
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The write is done.
    Written,
    /// This is the value.
    Read(Value),
    /// Whether the old value was there, and the new one is now.
    Swapped(bool),
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Ok {
        /// When the answer was there.
        completed_ns: u64,
        /// The answer.
        answer: Answer,
        /// Of a write or a successful swap: its own revision. Of a read or a
        /// failed swap: the revision of the state that it saw.
        revision: Option<u64>,
    },
    /// It was certainly not done, and never will be.
    Failed,
    /// It may have been done, or may be at any later time, or never.
    Unknown,
}

/// One operation of one process on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who called.
    pub process: u64,
    /// On what.
    pub key: Arc<str>,
    /// What for.
    pub call: Call,
    /// When it was called, on a clock that all processes share.
    pub invoked_ns: u64,
    /// What came of it.
    pub outcome: Outcome,
}

impl Operation {
    /// When the answer was there, if there was one.
    pub fn completed_ns(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Ok { completed_ns, .. } => Some(completed_ns),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }

    /// The revision that came with the answer.
    pub fn revision(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Ok { revision, .. } => revision,
            Outcome::Failed | Outcome::Unknown => None,
        }
    }

    /// Whether the answer says that it changed the key.
    pub fn is_effect(&self) -> bool {
        matches!(&self.outcome, Outcome::Ok { answer: Answer::Written | Answer::Swapped(true), .. })
    }

    fn is_sound(&self) -> bool {
        match (&self.outcome, &self.call) {
            (Outcome::Failed | Outcome::Unknown, _) => true,
            (Outcome::Ok { completed_ns, answer, .. }, call) => {
                let fits = matches!(
                    (call, answer),
                    (Call::Read, Answer::Read(_))
                        | (Call::Write(_), Answer::Written)
                        | (Call::Cas { .. }, Answer::Swapped(_))
                );
                // The last moment of all is taken: it is that of what never ends.
                fits && (self.invoked_ns..u64::MAX).contains(completed_ns)
            }
        }
    }
}

/// What several processes did and were told.
///
/// Of two operations the first comes before the second if it completed at an
/// *earlier* time than the second was invoked. Equal times say nothing: a clock
/// that stands still orders nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    operations: Vec<Operation>,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation; the order of adding means nothing.
    ///
    /// # Panics
    ///
    /// If the answer is none to this call, or was there before the call.
    pub fn push(&mut self, operation: Operation) {
        assert!(operation.is_sound(), "no operation ends so: {operation:?}");
        self.operations.push(operation);
    }

    /// All operations, as they were added.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl FromIterator<Operation> for History {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut history = Self::new();
        operations.into_iter().for_each(|operation| history.push(operation));
        history
    }
}
