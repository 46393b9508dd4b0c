//! A request that is not complete yet.

use crate::api::fault::Fault;
use crate::budget::Budget;
use crate::reason::Reason;
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

/// What a request is charged that must be waited for: what its headers, its stream and its task take, about.
pub(in crate::grpc) const HEAD_BYTES: usize = 4 << 10;

/// How often is looked whether a request takes too long.
const INTERVAL: Duration = Duration::from_secs(1);

/// What requests may take, in bytes and at once, and how long they may take to arrive.
#[derive(Debug)]
pub(in crate::grpc) struct Room {
    pub(in crate::grpc) bytes: Arc<Budget>,
    pub(in crate::grpc) places: Arc<Budget>,
    pub(in crate::grpc) patience: Duration,
}

impl Room {
    /// What those may fill that are waited for. The rest is for those that are there at once.
    fn for_the_slow(&self) -> usize {
        self.bytes.limit() / 4 * 3
    }
}

/// What a request holds until its answer: its bytes, and when they are complete a place.
#[derive(Debug)]
pub(in crate::grpc) struct Arrival {
    room: Arc<Room>,
    // Only its body adds to them, so a plain store will do.
    bytes: AtomicUsize,
    has_place: AtomicBool,
}

impl Arrival {
    pub(in crate::grpc) fn new(room: Arc<Room>) -> Arc<Self> {
        Arc::new(Self { room, bytes: AtomicUsize::new(0), has_place: AtomicBool::new(false) })
    }

    fn take(&self, bytes: usize, most: usize) -> Result<(), Fault> {
        if !self.room.bytes.take(bytes, most) {
            return Err(Fault::overloaded(
                "the requests that arrive at this node or are in progress take all the room there is for them",
            ));
        }
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
        Ok(())
    }

    fn take_place(&self) -> Result<(), Fault> {
        if !self.room.places.take(1, self.room.places.limit()) {
            return Err(Fault::overloaded("too many requests are in progress on this node"));
        }
        self.has_place.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.room.bytes.give_back(*self.bytes.get_mut());
        self.room.places.give_back(usize::from(*self.has_place.get_mut()));
    }
}

/// The body of a request, as the services see it.
pub(in crate::grpc) struct Arriving {
    inner: Body,
    arrival: Arc<Arrival>,
    /// Once it had to be waited for: since when, and when to look whether for too long.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl Arriving {
    pub(in crate::grpc) fn new(inner: Body, arrival: Arc<Arrival>) -> Self {
        Self { inner, arrival, waiting: None, ended: false }
    }

    fn take(&self, bytes: usize) -> Result<(), Fault> {
        let is_slow = self.waiting.is_some();
        let room = &self.arrival.room;
        let most = if is_slow { room.for_the_slow() } else { room.bytes.limit() };
        self.arrival.take(bytes, most)
    }

    /// Has the task woken when it is time to look again. A fault: it took too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        if self.waiting.is_none() {
            self.waiting = Some((Instant::now(), Box::pin(sleep(INTERVAL))));
            self.take(HEAD_BYTES)?;
        }
        let room = &self.arrival.room;
        let Some((since, timer)) = &mut self.waiting else { return Ok(()) };
        while timer.as_mut().poll(context).is_ready() {
            if since.elapsed() >= room.patience {
                return Err(too_slow(room.patience));
            }
            if room.bytes.is_crowded() {
                return Err(Fault::overloaded(
                    "others needed the room of this request, which was slow to arrive",
                ));
            }
            timer.as_mut().reset(Instant::now() + INTERVAL);
        }
        Ok(())
    }

    fn end(&mut self, outcome: Result<(), Fault>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        self.waiting = None;
        Poll::Ready(outcome.err().map(|fault| Err(fault.not_applied().into())))
    }
}

fn too_slow(patience: Duration) -> Fault {
    let message =
        format!("the request was not complete after {patience:?}; send smaller ones over a slow network");
    Fault::new(Reason::Deadline, message)
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Pending => match this.wait(context) {
                Ok(()) => Poll::Pending,
                fault => this.end(fault),
            },
            Poll::Ready(Some(Ok(frame))) => match this.take(frame.data_ref().map_or(0, Bytes::len)) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                fault => this.end(fault),
            },
            Poll::Ready(Some(Err(status))) => Poll::Ready(Some(Err(status))),
            Poll::Ready(None) => {
                let place = this.arrival.take_place();
                this.end(place)
            }
        }
    }
}
