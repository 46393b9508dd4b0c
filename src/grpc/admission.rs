//! Refuses at once what could not be answered in time, before anything of it is read.
//!
//! When more is asked of a node than it can do, requests wait: for their turn on the thread that serves them, and, if
//! they write, behind the writes that are not applied yet. Both waits are known: the first was measured on the way to
//! here, the second is what the loop expects. A request whose deadline leaves too little beside them is refused: to do
//! it would take the time of others, and its client would be gone before the answer. To refuse one costs a small part
//! of what it costs to do it.

use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::grpc::timeout;
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The methods that write.
const WRITES: [&str; 4] = ["/Put", "/Delete", "/Txn", "/Compact"];
/// How often a request waits for its turn beside this time: before it is read from its connection, and when its answer is
/// made, and written.
const OTHER_TURNS: u32 = 3;

/// When a request arrived, as an extension of it: its deadline counts from then.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub Instant);

#[derive(Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

struct Shared {
    api: Arc<Api>,
    /// The refusal, prepared.
    refusal: HeaderMap,
}

impl Admission {
    pub fn new(api: Arc<Api>) -> Self {
        let message = "more is asked of this node than it can do, and this request would not be done in time: try \
                       again later or elsewhere, or allow more time";
        let refusal = Status::from(Fault::overloaded(message).not_applied()).into_http::<Body>();
        Self { shared: Arc::new(Shared { api, refusal: refusal.headers().clone() }) }
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitting<S>;

    fn layer(&self, inner: S) -> Admitting<S> {
        Admitting { inner, shared: self.shared.clone() }
    }
}

/// A service behind an [`Admission`].
#[derive(Clone)]
pub struct Admitting<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for Admitting<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Entry<S, Request<B>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone has not been asked whether it is ready; the original has.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let waiting = Waiting { inner, request, arrived: Instant::now(), shared: self.shared.clone() };
        Entry { waiting: Some(waiting), admitted: None }
    }
}

/// A request that waits for its turn.
struct Waiting<S, R> {
    inner: S,
    request: R,
    arrived: Instant,
    shared: Arc<Shared>,
}

pin_project! {
    /// A request on its way in.
    pub struct Entry<S, R, F> {
        waiting: Option<Waiting<S, R>>,
        #[pin]
        admitted: Option<F>,
    }
}

impl<S, B> Future for Entry<S, Request<B>, S::Future>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(mut waiting) = this.waiting.take() {
            let waited = waiting.arrived.elapsed();
            if !is_in_time(waited, &waiting.request, &waiting.shared.api) {
                let mut response = Response::new(Body::empty());
                *response.headers_mut() = waiting.shared.refusal.clone();
                return Poll::Ready(Ok(response));
            }
            waiting.request.extensions_mut().insert(Arrived(waiting.arrived));
            this.admitted.set(Some(waiting.inner.call(waiting.request)));
        }
        match this.admitted.as_pin_mut() {
            Some(admitted) => Poll::Ready(ready!(admitted.poll(context))),
            None => Poll::Pending, // Polled again after its end.
        }
    }
}

fn is_in_time<B>(waited: Duration, request: &Request<B>, api: &Api) -> bool {
    let allowed = timeout::asked(request.headers()).unwrap_or(api.limits.default_deadline);
    let is_write = WRITES.iter().any(|method| request.uri().path().ends_with(method));
    let backlog = if is_write { api.router.handle.expected_wait() } else { Duration::ZERO };
    leaves_time(allowed, waited, backlog)
}

/// The rest of the time is for what is not foreseen, and for the client, which has much to do as well.
fn leaves_time(allowed: Duration, waited: Duration, backlog: Duration) -> bool {
    (waited + waited * OTHER_TURNS).saturating_add(backlog) <= allowed / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_waits_count_against_the_time_that_is_allowed() {
        let ms = Duration::from_millis;
        assert!(leaves_time(ms(1000), ms(0), ms(250)) && !leaves_time(ms(1000), ms(0), ms(251)));
        assert!(leaves_time(ms(1000), ms(50), ms(50)) && !leaves_time(ms(1000), ms(50), ms(51)));
        assert!(leaves_time(ms(20), ms(1), ms(0)) && !leaves_time(ms(20), ms(2), ms(0)));
        assert!(!leaves_time(ms(20), ms(0), Duration::MAX));
    }
}
