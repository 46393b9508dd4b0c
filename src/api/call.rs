//! What a request brings along beside what it asks.

use crate::api::deadline::Deadline;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Until when it may take.
    pub deadline: Deadline,
    /// Whether another node forwarded it: then it is answered here or refused.
    pub forwarded: bool,
}

impl Call {
    /// A client's.
    pub fn of_client(deadline: Deadline) -> Self {
        Self { deadline, forwarded: false }
    }

    /// Another node's.
    pub fn forwarded(deadline: Deadline) -> Self {
        Self { deadline, forwarded: true }
    }

    /// The deadline that the client chose: only that one ends a stream, which
    /// else may take as long as it is read.
    pub fn own_deadline(&self) -> Option<Deadline> {
        self.deadline.is_from_client().then_some(self.deadline)
    }
}
