//! An answer that has not left yet.
//!
//! Its bytes are handed to the connection in pieces, and each piece is charged until the connection has
//! written it and lets it go. A piece that lies for long shows that the client does not read: then the connection is closed,
//! since nothing else makes it let go.

use crate::budget::{Account, Charge, GiveUp, Holder, Ticket};
use crate::connections::notices::Notice;
use crate::connections::places::Standing;
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;

/// The size of a piece: a frame, as most clients limit it.
const PIECE_BYTES: usize = 16 << 10;

/// The body of an answer, as the connection sees it.
pub(in crate::grpc) struct Leaving {
    inner: Body,
    /// What was encoded, and not handed over yet. Charged as a whole.
    rest: Bytes,
    answers: Arc<Account>,
    connection: Option<Arc<Standing>>,
}

impl Leaving {
    pub(in crate::grpc) fn new(
        inner: Body,
        answers: Arc<Account>,
        connection: Option<Arc<Standing>>,
    ) -> Self {
        Self { inner, rest: Bytes::new(), answers, connection }
    }

    /// Charges a message as a whole; each part of it holds the charge.
    fn charged(&self, bytes: Bytes) -> Bytes {
        let charge = self.answers.budget().overdraw(bytes.len());
        Bytes::from_owner(Message { bytes, _charge: charge })
    }

    fn next_piece(&mut self) -> Bytes {
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        let Some(connection) = &self.connection else { return piece };
        let lying: Weak<dyn Holder> = Arc::downgrade(&(Arc::clone(connection) as Arc<dyn Holder>));
        Bytes::from_owner(Piece { bytes: piece, _ticket: self.answers.wait(lying) })
    }
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let frame = match std::task::ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(bytes) => this.rest = this.charged(bytes),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.next_piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }
}

/// A message's bytes with their charge.
struct Message {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A part of a message that was handed to the connection.
struct Piece {
    bytes: Bytes,
    _ticket: Ticket,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Holder for Standing {
    fn give_up(&self, _: GiveUp) {
        self.close(Notice::NotReading);
    }
}
