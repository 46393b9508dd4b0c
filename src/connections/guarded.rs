//! A connection that must introduce itself.

use crate::coalescing::Coalescing;
use crate::connections::door::{Door, Introduction};
use crate::connections::notices::Notice;
use crate::connections::places::{Place, Standing};
use crate::connections::turns::Turn;
use crate::connections::waiting::Reading;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// The beginning of HTTP/2: the client's preface and the head of its first frame (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24 + 9;

#[derive(Debug)]
pub struct Guarded {
    inner: Coalescing,
    place: Place,
    introduction: Introduction,
    bytes_read: usize,
    /// None: it is read as it comes.
    turn: Option<Turn>,
    reading: Reading,
    /// None once it has introduced itself.
    too_late: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Wraps a new connection, to be treated as the door says.
    pub fn new(inner: Coalescing, place: Place, door: &Door) -> Self {
        let turn = door.turns.as_ref().map(|turns| turns.join());
        let too_late = Some(Box::pin(tokio::time::sleep(door.introduction_time)));
        Self {
            inner,
            place,
            introduction: door.introduction,
            bytes_read: 0,
            turn,
            reading: Reading::default(),
            too_late,
        }
    }

    /// Reads; a client when it has its turn.
    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(turn) = &mut self.turn else {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        };
        ready!(turn.poll(context));
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        turn.read(bytes);
        let wait = self.place.standing().wait();
        match outcome {
            Poll::Pending => self.reading.ran_empty(wait),
            Poll::Ready(_) => self.reading.read(bytes, Instant::now(), || self.inner.lying(), wait),
        }
        outcome
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "this node closed the connection; see its log")
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let standing = this.place.standing();
        // Before the state is looked at, so that no change is missed.
        standing.watch(context);
        if standing.is_closed() {
            return Poll::Ready(Err(closed()));
        }
        if standing.is_introduced() {
            this.too_late = None;
            return this.read(context, buffer);
        }
        if this.too_late.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready()) {
            standing.close(Notice::Silent);
            return Poll::Ready(Err(closed()));
        }
        if matches!(this.introduction, Introduction::Identity { bytes } if this.bytes_read >= bytes) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let outcome = this.read(context, buffer);
        this.bytes_read += buffer.filled().len() - before;
        if this.introduction == Introduction::Preface && this.bytes_read >= PREFACE_BYTES {
            this.place.standing().introduce();
        }
        outcome
    }
}

impl AsyncWrite for Guarded {
    // `is_write_vectored` keeps its default: false, as that of what is wrapped.

    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.place.standing().is_closed() {
            return Poll::Ready(Err(closed()));
        }
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = outcome {
            self.place.standing().unread().wrote(written);
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// What a request knows of its connection.
#[derive(Clone, Debug)]
pub struct ConnectInfo {
    pub tcp: TcpConnectInfo,
    pub standing: Arc<Standing>,
}

impl Connected for Guarded {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        ConnectInfo { tcp: self.inner.connect_info(), standing: Arc::clone(self.place.standing()) }
    }
}
