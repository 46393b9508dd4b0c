//! Refuses at once what could not be answered in time, before anything of it is read.
//!
//! When more is asked of a node than it can do, requests wait: for their turns on the thread that serves them, and, if
//! they write, behind the writes that are not applied yet ([`expected_wait`]). A request whose deadline leaves too
//! little beside both is refused: to do it would take the time of others, and its client would be gone before the
//! answer. To refuse one costs a small part of what it costs to do it. Peers' messages and the loop wait for the same
//! turns, so nobody is let in while turns take so long that heartbeats could be late.
//!
//! [`expected_wait`]: crate::replica::Handle::expected_wait

use crate::api::context::Api;
use crate::api::fault::Fault;
use crate::grpc::timeout;
use crate::grpc::turns::Turns;
use crate::replica::longest_wait;
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
/// How many more turns a request takes: for its message, its answer, and the write to its connection.
const MORE_TURNS: u32 = 3;
/// A heartbeat and its answer take so many turns on a node each, and have the shortest election timeout for all of them
/// and the network.
const TURNS_OF_HEARTBEAT: u32 = 8;

/// When a request arrived, as an extension of it: its deadline counts from then.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub Instant);

#[derive(Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

struct Shared {
    api: Arc<Api>,
    turns: Turns,
    /// The refusal, prepared.
    refusal: HeaderMap,
}

impl Admission {
    pub fn new(api: Arc<Api>) -> Self {
        let message = "more is asked of this node than it can do, and this request would not be done in time: try \
                       again later or elsewhere, or allow more time";
        let refusal = Status::from(Fault::overloaded(message).not_applied()).into_http::<Body>();
        Self { shared: Arc::new(Shared { api, turns: Turns::default(), refusal: refusal.headers().clone() }) }
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
            if !waiting.shared.is_in_time(waiting.arrived, &waiting.request) {
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

impl Shared {
    fn is_in_time<B>(&self, arrived: Instant, request: &Request<B>) -> bool {
        let now = Instant::now();
        let waited = now.saturating_duration_since(arrived);
        let turn = self.turns.note(waited, now);
        let allowed = timeout::asked(request.headers()).unwrap_or(self.api.limits.default_deadline);
        let is_write = WRITES.iter().any(|method| request.uri().path().ends_with(method));
        let Api { router, .. } = &*self.api;
        let backlog = if is_write { router.handle.expected_wait() } else { Duration::ZERO };
        turn <= router.timing.election_min / TURNS_OF_HEARTBEAT
            && leaves_time(allowed.saturating_sub(waited), turn, backlog)
    }
}

/// Whether a request that has so much time left can expect to be done, if a turn takes so long and the writes before it
/// too.
fn leaves_time(left: Duration, turn: Duration, backlog: Duration) -> bool {
    !left.is_zero() && (turn * MORE_TURNS).saturating_add(backlog) <= longest_wait(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_and_backlog_count_against_the_time_that_is_left() {
        let ms = Duration::from_millis;
        assert!(leaves_time(ms(1000), ms(0), ms(125)) && !leaves_time(ms(1000), ms(0), ms(126)));
        assert!(leaves_time(ms(1000), ms(25), ms(50)) && !leaves_time(ms(1000), ms(26), ms(50)));
        assert!(!leaves_time(ms(20), ms(0), Duration::MAX));
        assert!(!leaves_time(ms(0), ms(0), ms(0)));
    }

    #[test]
    fn who_has_little_time_is_not_refused_for_a_little_wait() {
        let ms = Duration::from_millis;
        assert!(leaves_time(ms(20), ms(2), ms(10)));
        assert!(!leaves_time(ms(20), ms(7), ms(0)), "three turns take longer than it has");
    }
}
