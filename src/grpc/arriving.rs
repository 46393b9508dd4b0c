//! A request that is not complete yet.

use crate::api::fault::Fault;
use crate::budget::{Account, Charge, GiveUp, Holder, Ticket};
use crate::reason::Reason;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Frame;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;

/// What a request is charged at its headers: what they, its stream and its task take, about.
pub(in crate::grpc) const HEAD_BYTES: usize = 4 << 10;

/// What a request holds, from its headers until its answer.
pub(in crate::grpc) struct Arrival {
    account: Arc<Account>,
    places: Arc<Semaphore>,
    held: Mutex<Held>,
    /// The request's task, while it waits for more.
    waker: AtomicWaker,
}

struct Held {
    charge: Option<Charge>,
    place: Option<OwnedSemaphorePermit>,
    gave_up: Option<GiveUp>,
}

impl Arrival {
    /// Of a request whose headers are there.
    pub(in crate::grpc) fn begin(
        account: &Arc<Account>,
        places: &Arc<Semaphore>,
    ) -> Result<Arc<Self>, Fault> {
        account.make_room(HEAD_BYTES);
        let charge = account.budget().charge(HEAD_BYTES).ok_or_else(too_many_bytes)?;
        let held = Held { charge: Some(charge), place: None, gave_up: None };
        let (account, places) = (Arc::clone(account), Arc::clone(places));
        Ok(Arc::new(Self { account, places, held: Mutex::new(held), waker: AtomicWaker::new() }))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More has arrived.
    fn grow(&self, bytes: usize) -> Result<(), Fault> {
        // Not while its own lock is held: this one may be the next to give up.
        self.account.make_room(bytes);
        let mut held = self.held();
        self.check(&held)?;
        match held.charge.as_mut().is_some_and(|charge| charge.grow(bytes)) {
            true => Ok(()),
            false => Err(too_many_bytes()),
        }
    }

    /// All has arrived.
    fn complete(&self) -> Result<(), Fault> {
        let mut held = self.held();
        self.check(&held)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        held.place =
            Some(place.map_err(|_| Fault::overloaded("too many requests are in progress on this node"))?);
        Ok(())
    }

    fn check(&self, held: &Held) -> Result<(), Fault> {
        let patience = self.account.patience();
        match held.gave_up {
            None => Ok(()),
            Some(GiveUp::Room) => Err(Fault::overloaded(&format!(
                "others needed the room of this request, which was not complete {:?} after it began",
                patience.crowded
            ))),
            Some(GiveUp::Late) => {
                let message = format!(
                    "the request was not complete {:?} after it began; send smaller ones over a slow network",
                    patience.longest
                );
                Err(Fault::new(Reason::Deadline, message))
            }
        }
    }
}

fn too_many_bytes() -> Fault {
    Fault::overloaded(
        "the requests that arrive at this node or are in progress take all the room there is for them",
    )
}

impl Holder for Arrival {
    fn give_up(&self, why: GiveUp) {
        let mut held = self.held();
        held.gave_up = Some(why);
        held.charge = None;
        drop(held);
        self.waker.wake();
    }
}

/// The body of a request, as the services see it.
pub(in crate::grpc) struct Arriving {
    inner: Body,
    arrival: Arc<Arrival>,
    /// While it waits for its client.
    ticket: Option<Ticket>,
    ended: bool,
}

impl Arriving {
    pub(in crate::grpc) fn new(inner: Body, arrival: Arc<Arrival>) -> Self {
        Self { inner, arrival, ticket: None, ended: false }
    }

    fn refuse(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        self.ticket = None;
        Poll::Ready(Some(Err(fault.not_applied().into())))
    }

    /// Waits to be woken by the client, or by whoever needs the room.
    fn wait(&mut self, context: &Context<'_>) -> Result<(), Fault> {
        self.arrival.waker.register(context.waker());
        if self.ticket.is_none() {
            let holder: Weak<dyn Holder> = Arc::downgrade(&(Arc::clone(&self.arrival) as Arc<dyn Holder>));
            self.ticket = Some(self.arrival.account.wait(holder));
        }
        self.arrival.check(&self.arrival.held())
    }
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
                Err(fault) => this.refuse(fault),
            },
            Poll::Ready(Some(Ok(frame))) => match this.arrival.grow(frame.data_ref().map_or(0, Bytes::len)) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(fault) => this.refuse(fault),
            },
            Poll::Ready(Some(Err(status))) => Poll::Ready(Some(Err(status))),
            Poll::Ready(None) => match this.arrival.complete() {
                Ok(()) => {
                    this.ended = true;
                    this.ticket = None;
                    Poll::Ready(None)
                }
                Err(fault) => this.refuse(fault),
            },
        }
    }
}
