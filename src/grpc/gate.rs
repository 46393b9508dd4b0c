//! The gate between the network and the services: what comes in and what goes out is bounded, for all services
//! and connections that share it.
//!
//! A request first only arrives ([`arriving`](crate::grpc::arriving)): its bytes are charged as they come, it may
//! not take forever, and it has no place among the requests in progress yet. When it is complete it takes
//! such a place, or is refused; both are held until there is an answer. The answer's bytes are charged until they
//! have left ([`leaving`](crate::grpc::leaving)).
//!
//! Refusals are at once, with details, and before anything was done. (The transport's own load shedding says
//! nothing about the outcome.) The answer to a write comes too late to refuse the write: a small one is always
//! given, and larger ones may take as much room again before only their outcome is told.

use crate::api::fault::Fault;
use crate::budget::Budget;
use crate::connections::guarded::ConnectInfo;
use crate::grpc::arriving::{Arrival, Arriving, Room};
use crate::grpc::leaving::{Leaving, Way};
use http::{Request, Response};
use http_body::Body as _;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Layer, Service};

/// See the module. Clones share everything.
#[derive(Clone, Debug)]
pub struct Gate {
    room: Arc<Room>,
    answers: Arc<Budget>,
}

impl Gate {
    /// For so many requests in progress at once, within these budgets of bytes. A request may take so long to arrive.
    pub fn new(places: usize, requests: Arc<Budget>, answers: Arc<Budget>, patience: Duration) -> Self {
        let room = Room { bytes: requests, places: Budget::new(places), patience };
        Self { room: Arc::new(room), answers }
    }

    /// The places of requests in progress.
    pub fn places(&self) -> Arc<Budget> {
        Arc::clone(&self.room.places)
    }

    /// Another number of places within the same budgets.
    pub fn with_places(&self, places: usize) -> Self {
        let Room { bytes, patience, .. } = &*self.room;
        Self::new(places, Arc::clone(bytes), Arc::clone(&self.answers), *patience)
    }

    /// Whether a request may begin to arrive. One connection fills no more than half of the room for answers.
    fn check(&self, way: &Way) -> Result<(), Fault> {
        let lying = way.connection.as_ref().map_or(0, |connection| connection.unread().lying());
        if lying > self.answers.limit() / 2 {
            return Err(Fault::overloaded("the answers on this connection are not read"));
        }
        if self.answers.is_spent() { Err(too_many_answers()) } else { Ok(()) }
    }
}

fn too_many_answers() -> Fault {
    Fault::overloaded(
        "the answers that clients of this node have not read yet take all the room there is for them",
    )
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

/// A service behind a [`Gate`].
#[derive(Clone, Debug)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Passage<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = request.extensions().get::<ConnectInfo>().map(|info| Arc::clone(&info.standing));
        let way = Way { answers: Arc::clone(&self.gate.answers), connection };
        if let Err(fault) = self.gate.check(&way) {
            return Passage { inner: None, refusal: Some(Box::new(fault)), held: None, writes: false };
        }
        let writes = may_write(request.uri().path());
        let arrival = Arrival::new(Arc::clone(&self.gate.room));
        let body = |body| Body::new(Arriving::new(body, Arc::clone(&arrival)));
        let inner = self.inner.call(request.map(body));
        Passage { inner: Some(inner), refusal: None, held: Some((arrival, way)), writes }
    }
}

/// Whether a method may change something, so that its answer says more than can be asked again.
fn may_write(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    matches!(method, "Put" | "Delete" | "Txn" | "Compact" | "TransferLeadership")
}

pin_project! {
    /// A request on its way through the gate, or refused there.
    pub struct Passage<F> {
        #[pin]
        inner: Option<F>,
        refusal: Option<Box<Fault>>,
        // Until there is an answer: what the request holds, and how the answer leaves.
        held: Option<(Arc<Arrival>, Way)>,
        writes: bool,
    }
}

impl<F, E> Future for Passage<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            let fault = this.refusal.take().map_or_else(too_many_answers, |fault| *fault);
            return Poll::Ready(Ok(Status::from(fault.not_applied()).into_http()));
        };
        let mut answer = std::task::ready!(inner.poll(context))?;
        let Some((_, way)) = this.held.take() else { return Poll::Ready(Ok(answer)) };
        if answer.body().is_end_stream() {
            // A refusal: it has only headers.
            return Poll::Ready(Ok(answer));
        }
        let most = way.answers.limit().saturating_mul(1 + usize::from(*this.writes));
        let body = std::mem::take(answer.body_mut());
        Poll::Ready(Ok(match Leaving::begin(body, way, most, context) {
            Some(leaving) => {
                *answer.body_mut() = Body::new(leaving);
                answer
            }
            None if *this.writes => Status::from(too_many_answers().unknown()).into_http(),
            None => Status::from(too_many_answers()).into_http(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::arriving::HEAD_BYTES;
    use crate::grpc::status::{outcome_of, reason_of};
    use crate::reason::{Outcome, Reason};
    use bytes::Bytes;
    use http_body::Frame;
    use std::convert::Infallible;
    use tokio::sync::mpsc;

    fn gate(places: usize, bytes: usize) -> Gate {
        Gate::new(places, Budget::new(bytes), Budget::new(bytes), Duration::from_secs(10))
    }

    /// A body whose end comes when its sender is dropped.
    struct Fed(mpsc::UnboundedReceiver<Bytes>);

    impl http_body::Body for Fed {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    fn fed() -> (mpsc::UnboundedSender<Bytes>, Request<Body>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Request::builder().uri("/kontiki.v1.KvService/Get").body(Body::new(Fed(receiver))).unwrap())
    }

    /// Reads its request to the end, and answers its length in as many bytes.
    async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let mut body = request.into_body();
        let mut bytes = 0;
        loop {
            match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(status)) => return Ok(status.into_http()),
                None => {
                    let (sender, receiver) = mpsc::unbounded_channel();
                    sender.send(vec![7; bytes].into()).unwrap();
                    return Ok(Response::new(Body::new(Fed(receiver))));
                }
            }
        }
    }

    fn refusal(response: &Response<Body>) -> Option<(Option<Reason>, Option<Outcome>)> {
        let status = Status::from_header_map(response.headers())?;
        Some((reason_of(&status), outcome_of(&status)))
    }

    const OVERLOADED: Option<(Option<Reason>, Option<Outcome>)> =
        Some((Some(Reason::Overloaded), Some(Outcome::NotApplied)));

    #[tokio::test]
    async fn a_request_without_an_end_takes_no_place() {
        let mut service = gate(1, 1 << 20).layer(tower::service_fn(echo));
        let (_unfinished, request) = fed();
        let waiting = tokio::spawn(service.call(request));
        tokio::task::yield_now().await;
        let (_, complete) = fed();
        assert_eq!(refusal(&service.call(complete).await.unwrap()), None);
        assert!(!waiting.is_finished());
    }

    #[tokio::test]
    async fn one_request_too_many_is_told_with_its_outcome() {
        let (release, held) = tokio::sync::watch::channel(false);
        let mut service = gate(1, 1 << 20).layer(tower::service_fn(move |request| {
            let mut held = held.clone();
            async move {
                let answer = echo(request).await?;
                if refusal(&answer).is_none() {
                    let _ = held.wait_for(|released| *released).await;
                }
                Ok::<_, Infallible>(answer)
            }
        }));
        let first = tokio::spawn(service.call(ask("Get", 0)));
        tokio::task::yield_now().await;
        assert_eq!(refusal(&service.call(ask("Get", 0)).await.unwrap()), OVERLOADED);
        release.send(true).unwrap();
        assert_eq!(refusal(&first.await.unwrap().unwrap()), None);
        assert_eq!(refusal(&service.call(ask("Get", 0)).await.unwrap()), None, "the place is free again");
    }

    #[tokio::test]
    async fn bytes_are_charged_as_they_arrive_and_until_the_answer() {
        let gate = gate(10, 4 * HEAD_BYTES);
        let mut service = gate.layer(tower::service_fn(echo));
        let (sender, request) = fed();
        let waiting = tokio::spawn(service.call(request));
        sender.send(vec![7; HEAD_BYTES].into()).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(gate.room.bytes.held(), 2 * HEAD_BYTES);
        // What does not fit is refused, and nobody else suffers.
        let (second, request) = fed();
        second.send(vec![7; 3 * HEAD_BYTES].into()).unwrap();
        assert_eq!(refusal(&service.call(request).await.unwrap()), OVERLOADED);
        assert_eq!(gate.room.bytes.held(), 2 * HEAD_BYTES);
        drop(sender);
        assert_eq!(refusal(&waiting.await.unwrap().unwrap()), None);
        assert_eq!(gate.room.bytes.held(), 0);
    }

    #[tokio::test]
    async fn the_slow_leave_room_to_those_that_are_there_at_once() {
        let mut service = gate(10, 4 * HEAD_BYTES).layer(tower::service_fn(echo));
        let (sender, request) = fed();
        let _waiting = tokio::spawn(service.call(request));
        sender.send(vec![7; 2 * HEAD_BYTES].into()).unwrap();
        tokio::task::yield_now().await;
        let (_second, request) = fed();
        assert_eq!(refusal(&service.call(request).await.unwrap()), OVERLOADED);
        let (third, request) = fed();
        third.send(vec![7; HEAD_BYTES].into()).unwrap();
        drop(third);
        assert_eq!(refusal(&service.call(request).await.unwrap()), None);
    }

    #[tokio::test]
    async fn the_slow_give_up_when_others_need_the_room() {
        let gate = gate(10, 4 * HEAD_BYTES);
        let mut service = gate.layer(tower::service_fn(echo));
        let (_sender, request) = fed();
        let slow = tokio::spawn(service.call(request));
        tokio::task::yield_now().await;
        let _others = gate.room.bytes.charge(HEAD_BYTES);
        assert_eq!(refusal(&slow.await.unwrap().unwrap()), OVERLOADED);
        assert_eq!(gate.room.bytes.held(), HEAD_BYTES);
    }

    #[tokio::test]
    async fn a_request_does_not_arrive_forever() {
        let bytes = || Budget::new(1 << 20);
        let gate = Gate::new(10, bytes(), bytes(), Duration::from_secs(1));
        let mut service = gate.layer(tower::service_fn(echo));
        let (sender, request) = fed();
        let slow = tokio::spawn(service.call(request));
        while sender.send(vec![7].into()).is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let refused = refusal(&slow.await.unwrap().unwrap());
        assert_eq!(refused, Some((Some(Reason::Deadline), Some(Outcome::NotApplied))));
        assert_eq!(gate.room.bytes.held(), 0);
    }

    /// The answer's bytes, as pieces that a connection would hold.
    async fn pieces(answer: Response<Body>) -> Vec<Bytes> {
        let mut body = answer.into_body();
        let mut pieces = Vec::new();
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        pieces
    }

    fn ask(method: &str, bytes: usize) -> Request<Body> {
        let (sender, mut request) = fed();
        sender.send(vec![7; bytes].into()).unwrap();
        *request.uri_mut() = format!("/kontiki.v1.KvService/{method}").parse().unwrap();
        request
    }

    #[tokio::test]
    async fn answers_are_charged_until_their_bytes_are_gone() {
        let gate = gate(10, 140_000);
        let mut service = gate.layer(tower::service_fn(echo));
        let unread = service.call(ask("Get", 60_000)).await.unwrap();
        assert!(gate.answers.held() > 60_000, "nobody has taken any of it");
        let mut taken = pieces(service.call(ask("Get", 60_000)).await.unwrap()).await;
        assert!(gate.answers.held() > 120_000);
        let no_room = service.call(ask("Get", 60_000)).await.unwrap();
        assert_eq!(refusal(&no_room), Some((Some(Reason::Overloaded), None)));
        drop(unread);
        // Parts of a piece hold the whole.
        let part = taken[0].slice(..10);
        taken.clear();
        assert!(gate.answers.held() > 60_000);
        drop(part);
        assert_eq!(gate.answers.held(), 0);
    }

    #[tokio::test]
    async fn answers_to_writes_are_given_but_within_twice_the_room() {
        let mut service = gate(10, 140_000).layer(tower::service_fn(echo));
        let first = service.call(ask("Put", 120_000)).await.unwrap();
        let second = service.call(ask("Put", 60_000)).await.unwrap();
        assert_eq!((refusal(&first), refusal(&second)), (None, None));
        assert_eq!(refusal(&service.call(ask("Put", 1)).await.unwrap()), OVERLOADED);
        let gate = super::tests::gate(10, 50_000);
        let mut service = gate.layer(tower::service_fn(|_: Request<Body>| async {
            let (sender, receiver) = mpsc::unbounded_channel();
            sender.send(vec![7; 120_000].into()).unwrap();
            Ok::<_, Infallible>(Response::new(Body::new(Fed(receiver))))
        }));
        let told = service.call(ask("Put", 1)).await.unwrap();
        assert_eq!(refusal(&told), Some((Some(Reason::Overloaded), Some(Outcome::Unknown))));
    }
}
