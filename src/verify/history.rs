//! Operations: what was called and what came of it.

use crate::verify::value::Value;
use std::sync::Arc;

/// What a process called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read the value.
    Read,
    /// Set the value; an absent value deletes the key.
    Write(Value),
    /// Set the value to `new` if it is `old`.
    Cas {
        /// The expected value.
        old: Value,
        /// The value to set.
        new: Value,
    },
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A write was done.
    Written,
    /// A read found this value.
    Read(Value),
    /// Whether a compare-and-swap found the old value, and so set the new one.
    Swapped(bool),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It was done.
    Ok {
        /// When the answer arrived, on the same clock as `invoked_ns`.
        completed_ns: u64,
        /// The answer to the call.
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
    /// The process that called. A process has one operation under way at a time.
    pub process: u64,
    /// The key it is about.
    pub key: Arc<str>,
    /// What was called.
    pub call: Call,
    /// When it was called, on a clock that all processes share.
    pub invoked_ns: u64,
    /// How it ended.
    pub outcome: Completion,
}

impl Operation {
    /// When the answer arrived, if one did.
    pub fn completed_ns(&self) -> Option<u64> {
        match self.outcome {
            Completion::Ok { completed_ns, .. } => Some(completed_ns),
            Completion::Failed | Completion::Unknown => None,
        }
    }

    /// The revision that came with the answer.
    pub fn revision(&self) -> Option<u64> {
        match self.outcome {
            Completion::Ok { revision, .. } => revision,
            Completion::Failed | Completion::Unknown => None,
        }
    }

    /// Whether the answer says that it changed the key.
    pub fn is_effect(&self) -> bool {
        matches!(&self.outcome, Completion::Ok { answer: Answer::Written | Answer::Swapped(true), .. })
    }

    fn is_sound(&self) -> bool {
        match (&self.outcome, &self.call) {
            (Completion::Failed | Completion::Unknown, _) => true,
            (Completion::Ok { completed_ns, answer, .. }, call) => {
                let fits = matches!(
                    (call, answer),
                    (Call::Read, Answer::Read(_))
                        | (Call::Write(_), Answer::Written)
                        | (Call::Cas { .. }, Answer::Swapped(_))
                );
                // The largest time is taken: it stands for operations that never end.
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
    /// If the answer does not fit the call, or came before it.
    pub fn push(&mut self, operation: Operation) {
        assert!(operation.is_sound(), "no operation can end like this: {operation:?}");
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

    /// Whether there are no operations.
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
