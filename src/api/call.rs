//! The context of a request.

use crate::api::deadline::Deadline;

#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it must be done.
    pub deadline: Deadline,
    /// Whether another node forwarded it: then it is answered here or refused, not forwarded again.
    pub forwarded: bool,
}

impl Call {
    pub fn of_client(deadline: Deadline) -> Self {
        Self { deadline, forwarded: false }
    }

    pub fn forwarded(deadline: Deadline) -> Self {
        Self { deadline, forwarded: true }
    }

    /// The deadline, if the client chose it. Only such a deadline ends a stream, which otherwise may take as
    /// long as the client keeps reading.
    pub fn own_deadline(&self) -> Option<Deadline> {
        self.deadline.is_from_client().then_some(self.deadline)
    }
}
