//! Answers a peer's stream of questions.
//!
//! The sender and the intended recipient are checked before the first question is read
//! ([`identity`](crate::peers::identity)): a command of another cluster, or one meant for another node, never
//! gets further. Each question is handled by its own task and answered as soon as it is done; their number is
//! bounded.

use crate::api::deadline::LONGEST;
use crate::api::fault::Fault;
use crate::api::remote::Responder;
use crate::peers::answer_queue::{self, AnswerQueue, QueuedAnswers};
use crate::peers::link::Link;
use crate::peers::links::Links;
use crate::peers::questions::QUICK_AT_ONCE;
use crate::peers::refusal::{PeerRefusal, RefusalKind, no_such_member};
use crate::peers::stranger::Stranger;
use crate::peers::wire::forward::{self, PeerAnswer, PeerQuestion};
use crate::peers::wire::malformed::Malformed;
use crate::proto::raft as pb;
use crate::reason::Reason;
use futures_util::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tonic::{Status, Streaming};

/// The stream back: `hello`, then answers in any order.
pub struct Answers {
    hello: Option<pb::Sender>,
    answers: QueuedAnswers,
    /// Resolves when the reading of the questions ended: with a status, if the peer broke a rule.
    end: oneshot::Receiver<Status>,
    ended: bool,
}

impl Stream for Answers {
    type Item = Result<pb::ForwardResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(hello) = self.hello.take() {
            let message = Some(pb::forward_response::Message::Hello(hello));
            return Poll::Ready(Some(Ok(pb::ForwardResponse { message })));
        }
        if let Poll::Ready(end) = Pin::new(&mut self.end).poll(context) {
            self.ended = true;
            return Poll::Ready(end.ok().map(Err));
        }
        Poll::Ready(ready!(self.answers.poll(context)).map(Ok))
    }
}

/// Accepts a stream that a peer opened.
pub async fn serve(
    links: &Links,
    stranger: &Stranger,
    mut questions: Streaming<pb::ForwardRequest>,
) -> Result<Answers, Status> {
    let responder = links.responder()?.clone();
    let first = tokio::time::timeout(links.settings().handshake_timeout, questions.message());
    let first = first.await.map_err(|_| Status::deadline_exceeded("no hello arrived in time"))??;
    let peer = stranger.admit(links, hello(first)).await?;
    let Some(link) = links.get(peer.node) else {
        return Err(no_such_member().into());
    };
    link.heard_from(&peer);
    let (answers, waiting) = answer_queue::bounded(links.settings().answer_bytes);
    let (end, ended) = oneshot::channel();
    let work = Work {
        responder,
        answers,
        quick: Arc::new(Semaphore::new(QUICK_AT_ONCE)),
        places: Arc::new(Semaphore::new(links.settings().questions)),
        room: Arc::new(Semaphore::new(links.settings().question_bytes)),
    };
    tokio::spawn(read(links.clone(), link, questions, work, end));
    let hello = Some(links.admission().own().sender(peer.node));
    Ok(Answers { hello, answers: waiting, end: ended, ended: false })
}

fn hello(first: Option<pb::ForwardRequest>) -> Option<pb::Sender> {
    match first?.message? {
        pb::forward_request::Message::Hello(sender) => Some(sender),
        pb::forward_request::Message::Question(_) => None,
    }
}

/// Reads questions until the stream ends.
async fn read(
    links: Links,
    link: Arc<Link>,
    mut questions: Streaming<pb::ForwardRequest>,
    work: Work,
    end: oneshot::Sender<Status>,
) {
    let reading = async {
        loop {
            let begun = match questions.message().await {
                Ok(Some(message)) => work.begin(message).await.map_err(Status::from),
                Ok(None) => return None,
                Err(status) => Err(status),
            };
            if let Err(status) = begun {
                return Some(status);
            }
        }
    };
    let status = tokio::select! {
        status = reading => status,
        () = link.removed() => Some(no_such_member().into()),
        () = links.stopped() => Some(PeerRefusal::new(RefusalKind::NotReady, "this node is stopping".into()).into()),
    };
    if let Some(status) = status {
        // Where the peer is gone, nobody listens.
        let _ = end.send(status);
    }
}

/// The questions of one stream that are being handled.
struct Work {
    responder: Arc<dyn Responder>,
    answers: AnswerQueue,
    /// For what is no command: it is answered however many commands are at work.
    quick: Arc<Semaphore>,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl Work {
    async fn begin(&self, message: pb::ForwardRequest) -> Result<(), Malformed> {
        let Some(pb::forward_request::Message::Question(question)) = message.message else {
            return Err(Malformed("what a peer asks is not a question".into()));
        };
        let pb::Question { id, timeout_micros, body } = question;
        let (responder, answers) = (self.responder.clone(), self.answers.clone());
        let asked = match forward::checked_question(body) {
            Ok(asked) => asked,
            Err(malformed) => {
                // This question's fault alone: others on the stream are not to blame.
                let message =
                    format!("the leader does not understand what another node forwards: {malformed}");
                answers.send(id, Err(Fault::new(Reason::Internal, message).not_applied()), false).await;
                return Ok(());
            }
        };
        let bytes = u32::try_from(asked.bytes()).unwrap_or(u32::MAX);
        let places = if asked.is_quick() { &self.quick } else { &self.places };
        let places = places.clone().try_acquire_owned();
        let room = self.room.clone().try_acquire_many_owned(bytes);
        let (Ok(place), Ok(room)) = (places, room) else {
            let fault = Fault::overloaded("too many requests of that node are in progress on the leader");
            // If a peer does not read its answers, its questions are not read either.
            answers.send(id, Err(fault.not_applied()), false).await;
            return Ok(());
        };
        let changes_something = asked.changes_something();
        tokio::spawn(async move {
            let time = Duration::from_micros(timeout_micros).min(LONGEST);
            let answer = work_on(responder, asked, time).await;
            answers.send(id, answer, changes_something).await;
            drop((place, room));
        });
        Ok(())
    }
}

async fn work_on(
    responder: Arc<dyn Responder>,
    asked: PeerQuestion,
    time: Duration,
) -> Result<PeerAnswer, Fault> {
    match asked {
        PeerQuestion::Leader(question) => responder.answer(question, time).await.map(PeerAnswer::Leader),
        PeerQuestion::Status => Ok(PeerAnswer::Status(Box::new(responder.status()))),
    }
}
