//! The answers that wait for the connection to a peer: bounded in number and in bytes.
//!
//! An answer may be much larger than its question: a deletion of many keys may return what they held. So a peer that
//! asks faster than it reads could make the leader hold what no bound on questions covers. An answer for which there is
//! no room is replaced by one that says so, and what became of the write.

use crate::api::fault::Fault;
use crate::peers::wire::forward::{self, PeerAnswer};
use crate::proto::raft as pb;
use prost::Message as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many answers may wait for the connection; the tasks that made further ones wait with these.
const ANSWERS_WAITING: usize = 256;

/// Where answers are put.
#[derive(Clone, Debug)]
pub struct AnswerQueue {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// Where they are taken from.
#[derive(Debug)]
pub struct QueuedAnswers {
    queue: mpsc::Receiver<Queued>,
}

#[derive(Debug)]
struct Queued {
    answer: pb::ForwardResponse,
    /// Given back when the answer leaves. The few bytes of a fault need none.
    _room: Option<OwnedSemaphorePermit>,
}

/// A queue of at most this many bytes of answers, waiting tasks included.
pub fn bounded(bytes: usize) -> (AnswerQueue, QueuedAnswers) {
    let (sender, receiver) = mpsc::channel(ANSWERS_WAITING);
    let room = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
    (AnswerQueue { queue: sender, room }, QueuedAnswers { queue: receiver })
}

impl AnswerQueue {
    /// Puts an answer into the queue as soon as there is a place. `changes_something`: whether the question did.
    pub async fn send(&self, id: u64, answer: Result<PeerAnswer, Fault>, changes_something: bool) {
        let queued = self.admit(id, answer, changes_something);
        // Where the peer is gone, nobody listens.
        let _ = self.queue.send(queued).await;
    }

    fn admit(&self, id: u64, answer: Result<PeerAnswer, Fault>, changes_something: bool) -> Queued {
        let is_fault = answer.is_err();
        let answer = forward::answer(id, answer);
        if is_fault {
            return Queued { answer, _room: None };
        }
        let bytes = u32::try_from(answer.encoded_len()).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(bytes) {
            Ok(room) => Queued { answer, _room: Some(room) },
            Err(_) => {
                let message =
                    "the leader has an answer, but too many answers wait for the connection to that node";
                let fault = Fault::overloaded(message);
                let fault = if changes_something { fault.unknown() } else { fault };
                Queued { answer: forward::answer(id, Err(fault)), _room: None }
            }
        }
    }
}

impl QueuedAnswers {
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<pb::ForwardResponse>> {
        self.queue.poll_recv(context).map(|queued| queued.map(|queued| queued.answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::remote::Answer;
    use crate::types::Index;
    use std::task::Waker;

    fn answer() -> Result<PeerAnswer, Fault> {
        Ok(PeerAnswer::Leader(Answer::ReadIndex(Index(u64::MAX))))
    }

    fn take(answers: &mut QueuedAnswers) -> pb::ForwardResponse {
        match answers.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(answer)) => answer,
            other => panic!("there is an answer: {other:?}"),
        }
    }

    fn outcome(response: pb::ForwardResponse) -> Option<crate::reason::Outcome> {
        let Some(pb::forward_response::Message::Answer(answer)) = response.message else {
            panic!("an answer")
        };
        let (_, answer) = forward::checked_answer(answer).expect("it is well formed");
        answer.expect_err("a fault").outcome()
    }

    #[tokio::test]
    async fn answers_without_room_are_replaced_until_others_have_left() {
        let whole = forward::answer(1, answer());
        let (queue, mut answers) = bounded(whole.encoded_len() * 3 / 2);
        queue.send(1, answer(), false).await;
        queue.send(2, answer(), true).await;
        queue.send(3, answer(), false).await;
        assert_eq!(take(&mut answers), whole);
        assert_eq!(
            outcome(take(&mut answers)),
            Some(crate::reason::Outcome::Unknown),
            "it may have been applied"
        );
        assert_eq!(outcome(take(&mut answers)), None, "a read has no outcome");
        queue.send(1, answer(), false).await;
        assert_eq!(take(&mut answers), whole, "there is room again");
    }
}
