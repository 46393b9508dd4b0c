//! What the transport refuses by itself, explained.

use crate::api::fault::Fault;
use crate::grpc::wire::write::too_large;
use crate::reason::Reason;
use crate::settings::Limits;
use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

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
    use crate::grpc::status::reason_of;

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
}
