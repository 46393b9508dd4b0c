//! A long answer as a stream. The client may read slowly, but may not stop reading.
//!
//! A task produces the parts; a few wait in a queue. What such an answer pins (a view, a permit, a thread) is
//! released as soon as the task ends: when everything was delivered, when the client is gone or has stopped
//! reading, and when the node stops. The reason for an early end does not go through the queue, which may be
//! full at that moment: it is kept beside it and follows the last delivered part. So a stream that is cut
//! short never looks complete.

use crate::api::context::Api;
use crate::api::deadline::Deadline;
use crate::api::fault::Fault;
use crate::budget::{Budget, Charge};
use crate::reason::Reason;
use futures_util::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// How many parts may wait for the client.
const PARTS_WAITING: usize = 2;

/// The context of an answer in many parts.
#[derive(Debug)]
pub struct Answering {
    /// What the answer is, for messages: "scan".
    pub what: &'static str,
    /// The client's own deadline. Without one the answer may take as long as the client keeps reading.
    pub deadline: Option<Deadline>,
    /// Released when the answer ends.
    pub permit: OwnedSemaphorePermit,
}

/// Starts an answer: `work` sends its parts to the client.
pub(in crate::api) fn start<T, W>(
    api: Arc<Api>,
    answering: Answering,
    work: impl FnOnce(PartSender<T>) -> W,
) -> AnswerStream<T>
where
    T: Send + 'static,
    W: Future<Output = Result<(), Fault>> + Send + 'static,
{
    let Answering { what, deadline, permit } = answering;
    let (parts, waiting) = mpsc::channel(PARTS_WAITING);
    let (end, ended) = oneshot::channel();
    let patience = api.bounds.reader_patience;
    let unread = Arc::clone(api.bounds.answers.budget());
    let work = work(PartSender { parts, what, deadline, patience, unread });
    tokio::spawn(async move {
        let _permit = permit;
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = api.shut_down() => {
                let message = format!("the node is stopping; start the {what} again on another one");
                Err(Fault::new(Reason::Stopping, message))
            }
        };
        if let Err(fault) = outcome {
            // An error means that the client has gone.
            let _ = end.send(fault);
        }
    });
    AnswerStream { parts: waiting, ended: Some(ended) }
}

/// The client's end of the stream, as the work sees it.
#[derive(Debug)]
pub struct PartSender<T> {
    parts: mpsc::Sender<(T, Charge)>,
    what: &'static str,
    deadline: Option<Deadline>,
    patience: Duration,
    unread: Arc<Budget>,
}

impl<T> PartSender<T> {
    /// Sends the next part, of about so many bytes, as soon as there is room. False: the client has gone away.
    pub async fn send(&self, part: T, bytes: usize) -> Result<bool, Fault> {
        let patience = self.deadline.map_or(self.patience, |deadline| deadline.left().min(self.patience));
        let part = (part, self.unread.overdraw(bytes));
        match self.parts.send_timeout(part, patience).await {
            Ok(()) => Ok(true),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Ok(false),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(self.too_slow()),
        }
    }

    fn too_slow(&self) -> Fault {
        let what = self.what;
        if self.deadline.is_some_and(|deadline| deadline.has_passed()) {
            return Fault::deadline(&format!("the client read the {what}"));
        }
        let message = format!(
            "nothing of the {what} was read for {:?}, and the state it shows cannot be kept forever; start again",
            self.patience
        );
        Fault::new(Reason::SlowReader, message)
    }
}

/// The parts, and the fault that ended them early, if one did.
#[derive(Debug)]
pub struct AnswerStream<T> {
    parts: mpsc::Receiver<(T, Charge)>,
    /// `None` once it was delivered.
    ended: Option<oneshot::Receiver<Fault>>,
}

impl<T> Stream for AnswerStream<T> {
    type Item = Result<T, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        // Whoever takes it charges what it makes of it.
        if let Some((part, _)) = ready!(self.parts.poll_recv(context)) {
            return Poll::Ready(Some(Ok(part)));
        }
        let Some(ended) = &mut self.ended else { return Poll::Ready(None) };
        let fault = ready!(Pin::new(ended).poll(context)).ok();
        self.ended = None;
        Poll::Ready(fault.map(Err))
    }
}
