//! Refuses at once what could not be answered in time, before anything of it is read.
//!
//! When more is asked of a node than it can do, whatever it takes in makes everybody wait, and those who have waited
//! too long are gone when it is their turn: work is done for nobody. So a request is refused while all places for
//! requests in progress are taken, or if it would wait for long: in its socket, or behind the writes that are not
//! applied yet ([`expected_wait`]). To refuse one here, outside of all services, costs a fraction of what it costs to do
//! it.
//!
//! Only keys and values are refused here. What makes room is not refused for a wait.
//!
//! [`expected_wait`]: crate::replica::Handle::expected_wait

use crate::api::fault::Fault;
use crate::budget::Budget;
use crate::connections::guarded::ConnectInfo;
use crate::grpc::timeout;
use crate::replica::{Handle, longest_wait};
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The service whose requests may be too many.
const MANY: &str = "/kontiki.v1.KvService/";

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Admission(Arc<Shared>);

struct Shared {
    places: Arc<Budget>,
    handle: Handle,
    default_deadline: Duration,
    /// The refusals, prepared.
    no_place: HeaderMap,
    too_late: HeaderMap,
}

impl Admission {
    /// For requests that need one of these places.
    pub fn new(places: Arc<Budget>, handle: Handle, default_deadline: Duration) -> Self {
        let no_place =
            refusal("too many requests are in progress on this node; try again later, or elsewhere");
        let too_late =
            refusal("more is asked of this node than it can do in time; try again later, or elsewhere");
        Self(Arc::new(Shared { places, handle, default_deadline, no_place, too_late }))
    }
}

fn refusal(message: &str) -> HeaderMap {
    Status::from(Fault::overloaded(message).not_applied()).into_http::<Body>().headers().clone()
}

/// Where a request would wait, and for how long.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    in_socket: Duration,
    /// What certainly goes through the log only; a transaction that does is refused later.
    in_log: Duration,
}

impl Waits {
    /// Whether a request by this path, which has so much time, would wait for too long.
    fn are_too_long(self, path: &str, time: impl FnOnce() -> Duration) -> bool {
        let waits_in_log = path.ends_with("/Put") || path.ends_with("/Delete");
        let in_log = if waits_in_log { self.in_log } else { Duration::ZERO };
        let wait = self.in_socket.max(in_log);
        // Nearly always nothing waits, and the headers need not be read.
        !wait.is_zero() && wait > longest_wait(time())
    }
}

impl Shared {
    fn refusal<B>(&self, request: &Request<B>) -> Option<&HeaderMap> {
        let path = request.uri().path();
        if !path.starts_with(MANY) {
            return None;
        }
        if self.places.is_spent() {
            return Some(&self.no_place);
        }
        let connection = request.extensions().get::<ConnectInfo>();
        let in_socket = connection.map_or(Duration::ZERO, |info| info.standing.wait().get());
        let waits = Waits { in_socket, in_log: self.handle.expected_wait() };
        let time = || timeout::asked(request.headers()).unwrap_or(self.default_deadline);
        waits.are_too_long(path, time).then_some(&self.too_late)
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitting<S>;

    fn layer(&self, inner: S) -> Admitting<S> {
        Admitting { inner, admission: self.clone() }
    }
}

/// A service behind an [`Admission`].
#[derive(Clone)]
pub struct Admitting<S> {
    inner: S,
    admission: Admission,
}

impl<S, B> Service<Request<B>> for Admitting<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Admitted<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admission.0.refusal(&request) {
            None => Admitted { inner: Some(self.inner.call(request)), refusal: None },
            refusal => Admitted { inner: None, refusal: refusal.cloned() },
        }
    }
}

pin_project! {
    /// A request on its way in, or refused.
    pub struct Admitted<F> {
        #[pin]
        inner: Option<F>,
        refusal: Option<HeaderMap>,
    }
}

impl<F, E> Future for Admitted<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            return inner.poll(context);
        }
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = this.refusal.take().unwrap_or_default();
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &str = "/kontiki.v1.KvService/Put";
    const GET: &str = "/kontiki.v1.KvService/Get";

    fn refused(path: &str, socket_ms: u64, log_ms: u64, time_ms: u64) -> bool {
        let ms = Duration::from_millis;
        Waits { in_socket: ms(socket_ms), in_log: ms(log_ms) }.are_too_long(path, || ms(time_ms))
    }

    #[test]
    fn a_wait_is_too_long_for_everybody_alike() {
        assert!(!refused(PUT, 0, 0, 1));
        assert!(refused(PUT, 100, 0, 120_000) && !refused(PUT, 20, 0, 120_000));
        assert!(refused(PUT, 20, 0, 10));
        assert!(refused(GET, 100, 0, 1_000), "a read waits in its socket as well");
    }

    #[test]
    fn only_writes_wait_behind_writes() {
        assert!(refused(PUT, 0, 100, 1_000) && !refused(PUT, 0, 20, 1_000));
        assert!(!refused("/kontiki.v1.KvService/Txn", 0, 100, 1_000), "it may only read");
        assert!(!refused(GET, 0, 100, 1_000));
    }

    #[test]
    fn what_is_refused_says_that_it_was_not_applied_and_when_to_come_back() {
        let status = Status::from_header_map(&refusal("too much")).unwrap();
        assert_eq!(crate::grpc::status::outcome_of(&status), Some(crate::reason::Outcome::NotApplied));
        assert!(tonic_types::StatusExt::get_details_retry_info(&status).is_some());
    }
}
