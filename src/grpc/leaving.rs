//! An answer that has not left yet.
//!
//! It is encoded at once, though the transport would wait until the client has room for it: so its size is known,
//! and counts from the beginning until the connection has written all of it.

use crate::budget::{Budget, Charge};
use crate::connections::places::Standing;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;

/// What is charged for a message beyond its bytes: what its stream and its task take, about.
const STREAM_BYTES: usize = 4 << 10;

/// An answer of so many bytes always finds room: the number of those under way is bounded.
const SMALL_BYTES: usize = 4 << 10;

/// What answers may take, and on which connection this one leaves.
#[derive(Clone)]
pub(in crate::grpc) struct Way {
    pub(in crate::grpc) answers: Arc<Budget>,
    pub(in crate::grpc) connection: Option<Arc<Standing>>,
}

impl Way {
    /// Charges a message as a whole; each part of it holds the charge. None: `most` has no room for it.
    fn charged(&self, bytes: Bytes, most: usize) -> Option<Bytes> {
        let most = if bytes.len() <= SMALL_BYTES { usize::MAX } else { most };
        let charge = self.answers.charge_within(bytes.len() + STREAM_BYTES, most)?;
        let connection = self.connection.clone();
        if let Some(connection) = &connection {
            connection.unread().add(bytes.len());
        }
        Some(Bytes::from_owner(Lying { bytes, connection, _charge: charge }))
    }
}

/// The body of an answer, as the connection sees it.
pub(in crate::grpc) struct Leaving {
    inner: Body,
    first: Option<Result<Frame<Bytes>, Status>>,
    way: Way,
}

impl Leaving {
    /// None: it would be the first part that `most` has no room for.
    pub(in crate::grpc) fn begin(
        mut inner: Body,
        way: Way,
        most: usize,
        context: &mut Context<'_>,
    ) -> Option<Self> {
        let first = match Pin::new(&mut inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Some(Ok(match frame.into_data() {
                Ok(bytes) => Frame::data(way.charged(bytes, most)?),
                Err(trailers) => trailers,
            })),
            Poll::Ready(Some(Err(status))) => Some(Err(status)),
            Poll::Ready(None) | Poll::Pending => None,
        };
        Some(Self { inner, first, way })
    }
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let frame = match std::task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            // A part of a stream: it is small, the client has room for some of it, and such streams are few.
            Ok(bytes) => Frame::data(self.way.charged(bytes, usize::MAX).unwrap_or_default()),
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.inner.is_end_stream()
    }
}

/// A message's bytes with what they are charged.
struct Lying {
    bytes: Bytes,
    connection: Option<Arc<Standing>>,
    _charge: Charge,
}

impl AsRef<[u8]> for Lying {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lying {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.unread().sub(self.bytes.len());
        }
    }
}
