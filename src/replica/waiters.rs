//! Who waits for an answer, and on which thread.
//!
//! The loop has a thread of its own, so that no crowd of clients delays it. But to wake up a task on another thread
//! costs a system call, for each task. So answers for tasks on the clients' thread go there together, once per turn
//! of the loop and once per group that was applied, and a task there hands them out.

use crate::replica::error::{ReadError, WriteError};
use crate::replica::event::Applied;
use crate::replica::published::Published;
use crate::types::Index;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// The thread on which somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The loop's, or one that wants to be woken up by itself.
    Loop,
    /// The clients'.
    Clients,
}

/// Who waits for the outcome of something.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    pub(crate) reply: oneshot::Sender<T>,
    pub(crate) side: Side,
}

impl<T> Waiter<T> {
    /// Answers at once, wherever it waits.
    pub(crate) fn answer(self, outcome: T) {
        let _ = self.reply.send(outcome); // Whoever asked may have gone; what was done is done.
    }
}

pub(crate) type WriteWaiter = Waiter<Result<Applied, WriteError>>;
pub(crate) type ReadWaiter = Waiter<Result<Index, ReadError>>;

/// An outcome on its way to whom waits for it.
#[derive(Debug)]
pub(crate) enum Answer {
    Write(WriteWaiter, Result<Applied, WriteError>),
    Read(ReadWaiter, Result<Index, ReadError>),
}

impl Answer {
    fn side(&self) -> Side {
        match self {
            Self::Write(waiter, _) => waiter.side,
            Self::Read(waiter, _) => waiter.side,
        }
    }

    fn give(self) {
        match self {
            Self::Write(waiter, outcome) => waiter.answer(outcome),
            Self::Read(waiter, outcome) => waiter.answer(outcome),
        }
    }
}

/// What a group of answers is for.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) answers: Vec<Answer>,
    /// Whether readers may wait for what was applied.
    pub(crate) wakes_readers: bool,
}

/// The way to the clients' thread, once there is one.
#[derive(Debug, Default)]
pub(crate) struct ClientsThread(OnceLock<mpsc::UnboundedSender<Batch>>);

impl ClientsThread {
    /// The current runtime serves the clients from now on. Only the first that says so does.
    pub(crate) fn is_this(&self, published: Arc<Published>) {
        let (batches, mut queue) = mpsc::unbounded_channel::<Batch>();
        if self.0.set(batches).is_ok() {
            tokio::spawn(async move {
                while let Some(batch) = queue.recv().await {
                    if batch.wakes_readers {
                        published.wake_readers();
                    }
                    batch.answers.into_iter().for_each(Answer::give);
                }
            });
        }
    }

    /// Hands over what is for that thread; returns the rest.
    pub(crate) fn take_its_share(&self, mut batch: Batch) -> Batch {
        let Some(queue) = self.0.get() else { return batch };
        let all = std::mem::take(&mut batch.answers);
        let (away, here) = all.into_iter().partition(|answer| answer.side() == Side::Clients);
        let share: Vec<Answer> = away;
        let wakes_readers = std::mem::take(&mut batch.wakes_readers);
        if wakes_readers || !share.is_empty() {
            // Once that thread has ended nobody waits there.
            let _ = queue.send(Batch { answers: share, wakes_readers });
        }
        Batch { answers: here, ..batch }
    }

    /// Answers everybody: those on this side at once.
    pub(crate) fn answer(&self, answers: Vec<Answer>) {
        if !answers.is_empty() {
            let here = self.take_its_share(Batch { answers, wakes_readers: false });
            here.answers.into_iter().for_each(Answer::give);
        }
    }
}
