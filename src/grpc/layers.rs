//! The layers between the network and the services.

use crate::api::fault::Fault;
use crate::grpc::wire::write::too_large;
use crate::reason::Reason;
use crate::settings::Limits;
use http::Response;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Counts the requests in progress, for all services and connections that share it, and refuses excess
/// requests at once and with details. (The transport's own load shedding says nothing about the outcome.)
#[derive(Clone, Debug)]
pub struct InFlightLimit {
    permits: Arc<Semaphore>,
}

impl InFlightLimit {
    /// A limit of `at_once` requests.
    pub fn new(at_once: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))) }
    }
}

impl<S> Layer<S> for InFlightLimit {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limit: self.clone() }
    }
}

/// A service behind a [`InFlightLimit`].
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    limit: InFlightLimit,
}

impl<S, R> Service<R> for Limited<S>
where
    S: Service<R, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Passage<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        match Arc::clone(&self.limit.permits).try_acquire_owned() {
            Ok(permit) => Passage { inner: Some(self.inner.call(request)), _permit: Some(permit) },
            Err(_) => Passage { inner: None, _permit: None },
        }
    }
}

pin_project! {
    /// A request on its way through the limit, or refused by it.
    #[derive(Debug)]
    pub struct Passage<F> {
        #[pin]
        inner: Option<F>,
        _permit: Option<OwnedSemaphorePermit>,
    }
}

impl<F, E> Future for Passage<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll(context),
            None => {
                let fault = Fault::overloaded("too many requests are in progress on this node").not_applied();
                Poll::Ready(Ok(Status::from(fault).into_http()))
            }
        }
    }
}

/// Adds a reason to the transport's own refusals, as every other error has one: a message over the limit,
/// bytes that are not a message, an unknown method.
pub fn explain(limits: &Limits) -> impl Fn(Response<Body>) -> Response<Body> + Clone + use<> {
    let limits = limits.clone();
    move |response| match bare_refusal(&response).and_then(|status| explained(&status, &limits)) {
        Some(fault) => Status::from(fault).into_http(),
        None => response,
    }
}

/// The status in the headers, if there is one without details: an error before any message.
fn bare_refusal(response: &Response<Body>) -> Option<Status> {
    let headers = response.headers();
    let code = headers.get(Status::GRPC_STATUS)?;
    if code == "0" || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    Status::from_header_map(headers)
}

fn explained(status: &Status, limits: &Limits) -> Option<Fault> {
    let message = status.message();
    match status.code() {
        Code::OutOfRange if message.contains("message length too large") => {
            let actual = message.split_whitespace().find_map(|word| word.parse().ok());
            Some(too_large(limits, actual.unwrap_or(limits.request_bytes as u64 + 1)))
        }
        Code::InvalidArgument if message.starts_with("too many compares and operations") => {
            Some(Fault::new(Reason::TooManyOps, message).not_applied())
        }
        // The transport reports a client's mistakes as INTERNAL.
        Code::Internal if is_clients_mistake(message) => {
            let message = format!("the request cannot be read: {message}");
            Some(Fault::new(Reason::Malformed, message).not_applied())
        }
        Code::Unimplemented => {
            let why = if message.is_empty() { "no such service or method" } else { message };
            let message = format!("{why}; reflection lists what there is, for example `grpcurl … list`");
            Some(Fault::new(Reason::MethodUnknown, message).not_applied())
        }
        _ => None,
    }
}

/// By the transport's words; `tests/grpc/refusals.rs` has it say each of them.
fn is_clients_mistake(message: &str) -> bool {
    [
        "failed to decode Protobuf message",
        "protocol error: received message",
        "Unexpected EOF",
        "Missing request message",
    ]
    .iter()
    .any(|mistake| message.contains(mistake))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::status::{outcome_of, reason_of};
    use crate::reason::Outcome;
    use std::convert::Infallible;

    fn through(status: Status) -> Status {
        let response = explain(&Limits::default())(status.into_http());
        Status::from_header_map(response.headers()).unwrap()
    }

    #[test]
    fn what_the_transport_refuses_is_explained() {
        let large =
            "Error, decoded message length too large: found 9999999 bytes, the limit is: 1638400 bytes";
        let status = through(Status::out_of_range(large));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason_of(&status), Some(Reason::RequestTooLarge));
        assert!(status.message().contains("1572864 bytes, this has 9999999"), "{}", status.message());

        let status = through(Status::internal("failed to decode Protobuf message: invalid tag value: 0"));
        assert_eq!((status.code(), reason_of(&status)), (Code::InvalidArgument, Some(Reason::Malformed)));

        let status =
            through(Status::invalid_argument("too many compares and operations: a transaction may have 7"));
        assert_eq!((status.code(), reason_of(&status)), (Code::InvalidArgument, Some(Reason::TooManyOps)));

        let status = through(Status::unimplemented(""));
        assert_eq!((status.code(), reason_of(&status)), (Code::Unimplemented, Some(Reason::MethodUnknown)));
    }

    #[test]
    fn what_has_details_passes_unchanged() {
        let own: Status = Fault::new(Reason::FutureRevision, "soon").into();
        assert_eq!(reason_of(&through(own)), Some(Reason::FutureRevision));
        let ok = explain(&Limits::default())(Response::new(Body::empty()));
        assert!(ok.headers().is_empty());
        assert_eq!(through(Status::not_found("unknown service")).code(), Code::NotFound);
    }

    #[tokio::test]
    async fn one_request_too_many_is_told_with_its_outcome() {
        let (release, released) = tokio::sync::watch::channel(false);
        let service = tower::service_fn(move |()| {
            let mut released = released.clone();
            async move {
                let _ = released.wait_for(|is_released| *is_released).await;
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        let mut limited = InFlightLimit::new(1).layer(service);
        let first = limited.call(());
        let refused = limited.clone().call(()).await.unwrap();
        let status = Status::from_header_map(refused.headers()).unwrap();
        assert_eq!((status.code(), reason_of(&status)), (Code::ResourceExhausted, Some(Reason::Overloaded)));
        assert_eq!(outcome_of(&status), Some(Outcome::NotApplied));

        release.send(true).unwrap();
        assert!(first.await.unwrap().headers().is_empty());
        assert!(limited.call(()).await.unwrap().headers().is_empty(), "the place is free again");
    }
}
