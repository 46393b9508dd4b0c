//! The gate between the network and the services: what comes in and what goes out is bounded, for all services
//! and connections that share it.
//!
//! A request first only arrives ([`arriving`](crate::grpc::arriving)): its bytes are charged as they come, it may
//! not take forever, and it has no place among the requests in progress yet. When it is complete it takes
//! such a place, or is refused; both are held until there is an answer. The answer's bytes are charged until they
//! have left ([`leaving`](crate::grpc::leaving)).
//!
//! Refusals are at once, with details, and before anything was done. (The transport's own load shedding says
//! nothing about the outcome.)

use crate::api::fault::Fault;
use crate::budget::Account;
use crate::connections::guarded::ConnectInfo;
use crate::connections::places::Standing;
use crate::grpc::arriving::{Arrival, Arriving};
use crate::grpc::leaving::Leaving;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Layer, Service};

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Gate {
    places: Arc<Semaphore>,
    requests: Arc<Account>,
    answers: Arc<Account>,
}

impl Gate {
    /// For so many requests in progress at once, within these accounts.
    pub fn new(places: usize, requests: Arc<Account>, answers: Arc<Account>) -> Self {
        Self { places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))), requests, answers }
    }

    /// Another number of places within the same accounts.
    pub fn with_places(&self, places: usize) -> Self {
        Self::new(places, Arc::clone(&self.requests), Arc::clone(&self.answers))
    }

    /// Lets a request begin to arrive.
    fn admit(&self) -> Result<Arc<Arrival>, Fault> {
        if !self.answers.budget().has_room() {
            self.answers.make_room(1);
            return Err(too_many_answers());
        }
        Arrival::begin(&self.requests, &self.places)
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
#[derive(Clone)]
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
        let repeatable = only_reads(request.uri().path());
        let answers = Arc::clone(&self.gate.answers);
        let (inner, refusal, arrival) = match self.gate.admit() {
            Ok(arrival) => {
                let request = request.map(|body| Body::new(Arriving::new(body, Arc::clone(&arrival))));
                (Some(self.inner.call(request)), None, Some(arrival))
            }
            Err(fault) => (None, Some(fault), None),
        };
        Passage { inner, refusal, arrival, answers, connection, repeatable }
    }
}

/// Whether a method changes nothing, so that its answer may be replaced by a refusal.
fn only_reads(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    !matches!(method, "Put" | "Delete" | "Txn" | "Compact" | "TransferLeader")
}

pin_project! {
    /// A request on its way through the gate, or refused there.
    pub struct Passage<F> {
        #[pin]
        inner: Option<F>,
        refusal: Option<Fault>,
        // Its bytes and its place, until there is an answer.
        arrival: Option<Arc<Arrival>>,
        answers: Arc<Account>,
        connection: Option<Arc<Standing>>,
        repeatable: bool,
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
            let fault = this.refusal.take().unwrap_or_else(too_many_answers);
            return Poll::Ready(Ok(Status::from(fault.not_applied()).into_http()));
        };
        let response = std::task::ready!(inner.poll(context))?;
        *this.arrival = None;
        if *this.repeatable && !this.answers.budget().has_room() {
            this.answers.make_room(1);
            return Poll::Ready(Ok(Status::from(too_many_answers().not_applied()).into_http()));
        }
        let connection = this.connection.take();
        let answers = Arc::clone(this.answers);
        Poll::Ready(Ok(response.map(|body| Body::new(Leaving::new(body, answers, connection)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Patience;
    use crate::grpc::arriving::HEAD_BYTES;
    use crate::grpc::status::{outcome_of, reason_of};
    use crate::reason::{Outcome, Reason};
    use bytes::Bytes;
    use http_body::{Body as _, Frame};
    use std::convert::Infallible;
    use std::time::Duration;
    use tokio::sync::mpsc;

    const PATIENT: Patience = Patience { crowded: Duration::MAX, longest: Duration::MAX };
    const IMPATIENT: Patience = Patience { crowded: Duration::ZERO, longest: Duration::ZERO };

    fn gate(places: usize, bytes: usize, patience: Patience) -> Gate {
        Gate::new(places, Account::new(bytes, patience), Account::new(bytes, patience))
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
        let mut service = gate(1, 1 << 20, PATIENT).layer(tower::service_fn(echo));
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
        let mut service = gate(1, 1 << 20, PATIENT).layer(tower::service_fn(move |request| {
            let mut held = held.clone();
            async move {
                let answer = echo(request).await;
                let _ = held.wait_for(|released| *released).await;
                answer
            }
        }));
        let first = tokio::spawn(service.call(fed().1));
        tokio::task::yield_now().await;
        assert_eq!(refusal(&service.call(fed().1).await.unwrap()), OVERLOADED);
        release.send(true).unwrap();
        assert_eq!(refusal(&first.await.unwrap().unwrap()), None);
        assert_eq!(refusal(&service.call(fed().1).await.unwrap()), None, "the place is free again");
    }

    #[tokio::test]
    async fn bytes_are_charged_as_they_arrive_and_until_the_answer() {
        let gate = gate(10, 4 * HEAD_BYTES, PATIENT);
        let mut service = gate.layer(tower::service_fn(echo));
        let (sender, request) = fed();
        let waiting = tokio::spawn(service.call(request));
        sender.send(vec![7; HEAD_BYTES].into()).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(gate.requests.budget().held(), 2 * HEAD_BYTES);
        // What does not fit is refused, and nobody else suffers.
        let (second, request) = fed();
        second.send(vec![7; 2 * HEAD_BYTES].into()).unwrap();
        assert_eq!(refusal(&service.call(request).await.unwrap()), OVERLOADED);
        assert_eq!(gate.requests.budget().held(), 2 * HEAD_BYTES);
        drop(sender);
        assert_eq!(refusal(&waiting.await.unwrap().unwrap()), None);
        assert_eq!(gate.requests.budget().held(), 0);
    }

    #[tokio::test]
    async fn who_does_not_finish_makes_room_for_others() {
        let gate = gate(10, 4 * HEAD_BYTES, Patience { longest: Duration::MAX, ..IMPATIENT });
        let mut service = gate.layer(tower::service_fn(echo));
        let (sender, request) = fed();
        sender.send(vec![7; 2 * HEAD_BYTES].into()).unwrap();
        let slow = tokio::spawn(service.call(request));
        tokio::task::yield_now().await;
        let (second, request) = fed();
        second.send(vec![7; 2 * HEAD_BYTES].into()).unwrap();
        drop(second);
        assert_eq!(refusal(&service.call(request).await.unwrap()), None);
        assert_eq!(refusal(&slow.await.unwrap().unwrap()), OVERLOADED);
    }

    #[tokio::test]
    async fn a_request_does_not_arrive_forever() {
        let gate = gate(10, 1 << 20, IMPATIENT);
        let mut service = gate.layer(tower::service_fn(echo));
        let (_sender, request) = fed();
        let slow = tokio::spawn(service.call(request));
        tokio::task::yield_now().await;
        gate.requests.sweep();
        let refused = refusal(&slow.await.unwrap().unwrap());
        assert_eq!(refused, Some((Some(Reason::Deadline), Some(Outcome::NotApplied))));
        assert_eq!(gate.requests.budget().held(), 0);
    }

    #[tokio::test]
    async fn answers_are_charged_until_their_bytes_are_gone() {
        let gate = gate(10, 100_000, PATIENT);
        let mut service = gate.layer(tower::service_fn(echo));
        let ask = || {
            let (sender, request) = fed();
            sender.send(vec![7; 60_000].into()).unwrap();
            request
        };
        let mut pieces = Vec::new();
        for _ in 0..2 {
            let mut body = service.call(ask()).await.unwrap().into_body();
            while let Some(frame) =
                std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
            {
                pieces.push(frame.unwrap().into_data().unwrap());
            }
        }
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 120_000);
        assert_eq!(gate.answers.budget().held(), 120_000);
        assert_eq!(refusal(&service.call(ask()).await.unwrap()), OVERLOADED);
        // Parts of a piece hold the whole.
        let part = pieces[0].slice(..10);
        pieces.clear();
        assert_eq!(gate.answers.budget().held(), 60_000);
        drop(part);
        assert_eq!((gate.answers.budget().held(), gate.answers.waiting_count()), (0, 0));
        assert_eq!(refusal(&service.call(ask()).await.unwrap()), None);
    }
}
