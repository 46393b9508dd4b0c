//! Questions to one peer, from being asked to being answered.
//!
//! A question waits in a queue until the stream to the peer takes it: until then it was certainly not sent.
//! From then on it is in the stream's table of [sent](Sent) questions until its answer arrives, or the stream
//! breaks and nobody knows what became of it. The caller may give up at any time: then a question that was
//! not sent never will be, and its answer is dropped.

use crate::api::remote::NoAnswer;
use crate::peers::short_lock::locked;
use crate::peers::wire::forward::{self, PeerAnswer, PeerQuestion};
use crate::proto::raft as pb;
use futures_util::Stream;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// The most questions at once that are no commands. Reads share one.
pub const QUICK_AT_ONCE: usize = 64;

/// The questions to one peer. Clones share them.
#[derive(Clone)]
pub struct Questions {
    inner: Arc<Inner>,
}

struct Inner {
    /// Questions that reads and operators wait for. They are few, and overtake the commands.
    quick: Queue,
    commands: Queue,
    /// Notified when a question is queued.
    wanted: Notify,
    /// Bounds the bytes of commands that wait or were sent.
    room: Arc<Semaphore>,
}

struct Queue {
    end: mpsc::Sender<Question>,
    waiting: Mutex<mpsc::Receiver<Question>>,
    /// Bounds the questions that wait or were sent.
    places: Arc<Semaphore>,
}

impl Queue {
    fn new(at_once: usize) -> Self {
        let (end, waiting) = mpsc::channel(at_once);
        Self { end, waiting: Mutex::new(waiting), places: Arc::new(Semaphore::new(at_once)) }
    }
}

/// A question that has not been sent yet.
struct Question {
    asked: PeerQuestion,
    deadline: Instant,
    asker: Asker,
}

/// The caller, with its share of the bounds.
struct Asker {
    answer: oneshot::Sender<Result<PeerAnswer, NoAnswer>>,
    _place: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Asker {
    fn tell(self, answer: Result<PeerAnswer, NoAnswer>) {
        // The caller may be gone.
        let _ = self.answer.send(answer);
    }
}

impl Inner {
    /// In the order in which they are sent.
    fn all(&self) -> [&Queue; 2] {
        [&self.quick, &self.commands]
    }
}

impl Questions {
    /// Empty queues for at most this many commands at once, with this many bytes.
    pub fn new(at_once: usize, bytes: usize) -> Self {
        let inner = Inner {
            quick: Queue::new(QUICK_AT_ONCE),
            commands: Queue::new(at_once),
            wanted: Notify::new(),
            room: Arc::new(Semaphore::new(bytes)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Asks the peer. After the deadline the question is not sent any more.
    pub fn ask(
        &self,
        asked: PeerQuestion,
        deadline: Instant,
    ) -> impl Future<Output = Result<PeerAnswer, NoAnswer>> + Send + use<> {
        let (asker, answer) = oneshot::channel();
        let refused = match self.enqueue(asked, deadline, asker) {
            true => None,
            false => Some(NoAnswer::Overloaded),
        };
        async move {
            match refused {
                Some(refused) => Err(refused),
                None => answer.await.unwrap_or_else(|_| Err(NoAnswer::Lost("this node is stopping".into()))),
            }
        }
    }

    /// False: there are as many as may be.
    fn enqueue(
        &self,
        asked: PeerQuestion,
        deadline: Instant,
        answer: oneshot::Sender<Result<PeerAnswer, NoAnswer>>,
    ) -> bool {
        let Inner { quick, commands, room, wanted } = &*self.inner;
        let Queue { end, places, .. } = if asked.is_quick() { quick } else { commands };
        let bytes = u32::try_from(asked.bytes()).unwrap_or(u32::MAX);
        let (Ok(place), Ok(room)) =
            (places.clone().try_acquire_owned(), room.clone().try_acquire_many_owned(bytes))
        else {
            return false;
        };
        let asker = Asker { answer, _place: place, _room: room };
        let queued = end.try_send(Question { asked, deadline, asker }).is_ok();
        wanted.notify_one();
        queued
    }

    pub async fn wanted(&self) {
        while self.inner.all().iter().all(|queue| locked(&queue.waiting).is_empty()) {
            self.inner.wanted.notified().await;
        }
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Question>> {
        for queue in self.inner.all() {
            // The ends live as long as the queues.
            if let Poll::Ready(question) = locked(&queue.waiting).poll_recv(context) {
                return Poll::Ready(question);
            }
        }
        Poll::Pending
    }

    /// The peer cannot be reached: what waits was certainly not sent.
    pub fn refuse_waiting(&self, why: &str) {
        for queue in self.inner.all() {
            let mut waiting = locked(&queue.waiting);
            while let Ok(question) = waiting.try_recv() {
                question.asker.tell(Err(NoAnswer::NotSent(why.to_owned())));
            }
        }
    }
}

/// The questions that were sent on one stream, by number. `None` once it broke.
#[derive(Clone)]
pub struct Sent {
    askers: Arc<Mutex<Option<HashMap<u64, Asker>>>>,
}

impl Default for Sent {
    fn default() -> Self {
        Self { askers: Arc::new(Mutex::new(Some(HashMap::new()))) }
    }
}

impl Sent {
    /// An answer arrived. It is ignored if the question is not open.
    pub fn answered(&self, id: u64, answer: Result<PeerAnswer, NoAnswer>) {
        let asker = locked(&self.askers).as_mut().and_then(|askers| askers.remove(&id));
        if let Some(asker) = asker {
            asker.tell(answer);
        }
    }

    /// The stream broke: the outcome of its questions is unknown, and no more are sent on it.
    pub fn lose(&self, why: &str) {
        for asker in locked(&self.askers).take().into_iter().flatten().map(|(_, asker)| asker) {
            asker.tell(Err(NoAnswer::Lost(why.to_owned())));
        }
    }
}

/// Our messages on a stream: `hello`, then, once the peer's was accepted, the questions.
pub struct Outgoing {
    hello: Option<pb::Sender>,
    accepted: Option<oneshot::Receiver<()>>,
    questions: Questions,
    sent: Sent,
    last_id: u64,
}

impl Outgoing {
    /// For a new stream. `accepted` resolves once the peer's hello was accepted.
    pub fn new(hello: pb::Sender, accepted: oneshot::Receiver<()>, questions: Questions, sent: Sent) -> Self {
        Self { hello: Some(hello), accepted: Some(accepted), questions, sent, last_id: 0 }
    }

    fn poll_question(&mut self, context: &mut Context<'_>) -> Poll<Option<pb::ForwardRequest>> {
        // Held throughout: a broken stream takes no question away from the next one.
        let mut askers = locked(&self.sent.askers);
        let Some(askers) = &mut *askers else { return Poll::Ready(None) };
        while let Some(Question { asked, deadline, asker }) = ready!(self.questions.poll_next(context)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if asker.answer.is_closed() {
                continue;
            }
            if left.is_zero() {
                asker.tell(Err(NoAnswer::NotSent("the deadline passed before it was sent".into())));
                continue;
            }
            self.last_id += 1;
            askers.insert(self.last_id, asker);
            return Poll::Ready(Some(forward::question(self.last_id, left, asked)));
        }
        Poll::Ready(None)
    }
}

impl Stream for Outgoing {
    type Item = pb::ForwardRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(hello) = self.hello.take() {
            let message = Some(pb::forward_request::Message::Hello(hello));
            return Poll::Ready(Some(pb::ForwardRequest { message }));
        }
        if let Some(accepted) = &mut self.accepted {
            if ready!(Pin::new(accepted).poll(context)).is_err() {
                return Poll::Ready(None);
            }
            self.accepted = None;
        }
        self.poll_question(context)
    }
}
