//! What the loop and the applier tell those who wait, a turn or a group at a time.
//!
//! To wake a task of another thread costs a system call. So answers travel in one piece to a task on the runtime
//! that serves the requests, and that task wakes whom they are for.

use crate::replica::error::{ReadError, WriteError};
use crate::replica::event::{Answer, ReadReply, Waiter};
use crate::replica::published::Published;
use crate::types::Index;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Answers to requests. Bounded by the requests that were accepted.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    applied: Vec<Answer>,
    refused: Vec<(Waiter, WriteError)>,
    reads: Vec<(ReadReply, Result<Index, ReadError>)>,
    wakes_readers: bool,
}

impl Answers {
    /// Readers can see what these writes did.
    pub(crate) fn applied(answers: Vec<Answer>) -> Self {
        Self { applied: answers, wakes_readers: true, ..Self::default() }
    }

    pub(crate) fn refuse(&mut self, waiter: Waiter, error: WriteError) {
        self.refused.push((waiter, error));
    }

    pub(crate) fn read(&mut self, reply: ReadReply, answer: Result<Index, ReadError>) {
        self.reads.push((reply, answer));
    }

    fn is_empty(&self) -> bool {
        !self.wakes_readers && self.applied.is_empty() && self.refused.is_empty() && self.reads.is_empty()
    }

    /// Wakes everybody. Whoever asked may have given up.
    fn deliver(self, published: &Published) {
        if self.wakes_readers {
            published.wake_readers();
        }
        for (waiter, applied) in self.applied {
            waiter.answer(Ok(applied));
        }
        for (waiter, error) in self.refused {
            waiter.answer(Err(error));
        }
        for (reply, answer) in self.reads {
            let _ = reply.send(answer);
        }
    }
}

/// Where answers go.
#[derive(Clone, Debug)]
pub(crate) struct Answering {
    /// The task that delivers them; without one they are delivered where they arise.
    task: Option<UnboundedSender<Answers>>,
    published: Arc<Published>,
}

impl Answering {
    /// Delivers at once.
    pub(crate) fn here(published: Arc<Published>) -> Self {
        Self { task: None, published }
    }

    /// Delivers in a task of the current runtime, which ends when nobody can answer any more.
    pub(crate) fn in_a_task(published: Arc<Published>) -> Self {
        let (task, answers) = unbounded_channel();
        tokio::spawn(deliver_all(answers, published.clone()));
        Self { task: Some(task), published }
    }

    pub(crate) fn send(&self, answers: Answers) {
        if answers.is_empty() {
            return;
        }
        let left = match &self.task {
            Some(task) => task.send(answers).map_err(|unsent| unsent.0),
            None => Err(answers),
        };
        if let Err(answers) = left {
            answers.deliver(&self.published);
        }
    }
}

async fn deliver_all(mut answers: UnboundedReceiver<Answers>, published: Arc<Published>) {
    while let Some(answers) = answers.recv().await {
        answers.deliver(&published);
    }
}
