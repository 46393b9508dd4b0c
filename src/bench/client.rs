//! One client: sends a request, waits for the answer, records it, and starts over.

use crate::bench::pace::{Schedule, Timetable};
use crate::bench::plan::Plan;
use crate::bench::recorder::{Recorder, RequestKind, outcome_is_unknown};
use crate::bench::sample::Acknowledged;
use crate::bench::store::Store;
use crate::bench::workload::{Generator, Request, Shapes, Write};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tonic::Status;

/// How long a client rests after a failure, so that failing fast does not look like throughput.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// What the clients of one thread share.
pub struct LoadState {
    shapes: Shapes,
    schedule: Schedule,
    closed: Cell<bool>,
    pace: Option<Pace>,
    /// How many requests may still be sent, if that is limited.
    left: Cell<Option<u64>>,
    /// Whether acknowledged writes are compared afterwards.
    verify: bool,
    recorder: RefCell<Recorder>,
}

/// The open loop on one thread.
struct Pace {
    timetable: Timetable,
    thread: u64,
    gate: Arc<Semaphore>,
    taken: Cell<u64>,
}

/// A request that may be sent now.
struct Turn {
    /// In the open loop, when it was due.
    due: Option<Instant>,
}

impl LoadState {
    /// For the `number`th thread. `pace` is the timetable and this thread's semaphore; without it the loop is closed.
    pub fn new(
        plan: &Plan,
        number: u64,
        shapes: Shapes,
        schedule: Schedule,
        pace: Option<(Timetable, Arc<Semaphore>)>,
    ) -> Self {
        let pace =
            pace.map(|(timetable, gate)| Pace { timetable, thread: number, gate, taken: Cell::new(0) });
        let threads = plan.threads as u64;
        let share = plan.requests.map(|all| all / threads + u64::from(number < all % threads));
        Self {
            shapes,
            schedule,
            closed: Cell::new(false),
            pace,
            left: Cell::new(share),
            verify: plan.verify,
            recorder: RefCell::new(Recorder::default()),
        }
    }

    /// Stops the sending of requests.
    pub fn close(&self) {
        self.closed.set(true);
        if let Some(pace) = &self.pace {
            pace.gate.close();
        }
    }

    /// Hands over what was recorded until `now`. In the open loop, also counts the requests that were due and
    /// never sent.
    pub fn leave(&self, now: Instant) -> Recorder {
        let mut recorder = self.recorder.take();
        if let Some(Pace { timetable, thread, taken, .. }) = &self.pace {
            let measured_from = timetable.count_on(*thread, self.schedule.measure);
            let first_unsent = taken.get().max(measured_from);
            recorder.unsent = timetable.count_on(*thread, now).saturating_sub(first_unsent);
        }
        recorder
    }

    /// Waits until a request may be sent; `None` once the run is over.
    async fn turn(&self) -> Option<Turn> {
        if self.closed.get() {
            return None;
        }
        if let Some(left) = self.left.get() {
            self.left.set(Some(left.checked_sub(1)?));
        }
        let Some(pace) = &self.pace else {
            return (Instant::now() < self.schedule.end).then_some(Turn { due: None });
        };
        pace.gate.acquire().await.ok()?.forget();
        let nth = pace.taken.get();
        pace.taken.set(nth + 1);
        Some(Turn { due: Some(pace.timetable.due_on(pace.thread, nth)) })
    }

    /// Whether a request counts. In the closed loop, if it was answered while
    /// measuring; in the open loop, if it was due then, however late the answer.
    fn counts(&self, turn: &Turn, done: Instant) -> bool {
        let decisive = turn.due.unwrap_or(done);
        self.schedule.measure <= decisive && decisive < self.schedule.end
    }

    /// Whether it was answered while measuring, in the open loop.
    fn is_goodput(&self, turn: &Turn, done: Instant) -> bool {
        turn.due.is_some() && self.schedule.measure <= done && done < self.schedule.end
    }

    fn note(&self, turn: &Turn, sent: Instant, request: Request, result: Result<Answer, Status>) {
        let done = Instant::now();
        let counts = self.counts(turn, done);
        let write = match request {
            Request::Write(write) => Some(write),
            Request::Echo | Request::Get { .. } => None,
        };
        let mut recorder = self.recorder.borrow_mut();
        match result {
            Ok(answer) => {
                if let (Some(write), true) = (write, self.verify) {
                    self.sample(&mut recorder, write, answer.revision);
                }
                let operations = write.map_or(1, |write| write.count);
                if self.is_goodput(turn, done) {
                    recorder.goodput += operations;
                }
                if counts {
                    let latency = done - turn.due.unwrap_or(sent);
                    let service = turn.due.map(|_| done - sent);
                    recorder.answered(kind(request), operations, latency, service);
                    recorder.missing += u64::from(answer.missing);
                }
            }
            Err(status) => {
                recorder.unknown_writes += u64::from(write.is_some() && outcome_is_unknown(&status));
                if counts {
                    recorder.failed(&status);
                }
            }
        }
    }

    fn sample(&self, recorder: &mut Recorder, write: Write, revision: i64) {
        for nth in 0..write.count {
            let key = self.shapes.following(write.first, nth);
            recorder.sample.note(key, Acknowledged { revision, tag: write.tag });
        }
    }
}

/// What is recorded of an answer.
#[derive(Default)]
struct Answer {
    revision: i64,
    missing: bool,
}

/// Sends requests until the run is over.
pub async fn work(mut store: Store, mut generator: Generator, state: Rc<LoadState>) {
    while let Some(turn) = state.turn().await {
        let request = generator.next(&state.shapes);
        let sent = Instant::now();
        let result = send(&mut store, request, &state.shapes).await;
        let failed = result.is_err();
        state.note(&turn, sent, request, result);
        if failed {
            tokio::time::sleep(REST_AFTER_FAILURE).await;
        }
    }
}

async fn send(store: &mut Store, request: Request, shapes: &Shapes) -> Result<Answer, Status> {
    match request {
        Request::Echo => store.echo().await.map(|()| Answer::default()),
        Request::Get { key, local } => {
            let read = store.get(shapes.key(key), local).await?;
            Ok(Answer { missing: read.newest.is_none(), ..Answer::default() })
        }
        Request::Write(Write { first, count: 1, tag }) => {
            let revision = store.put(shapes.key(first), shapes.value(first, tag)).await?;
            Ok(Answer { revision, missing: false })
        }
        Request::Write(write) => {
            let revision = store.put_many(shapes.pairs(write)).await?;
            Ok(Answer { revision, missing: false })
        }
    }
}

fn kind(request: Request) -> RequestKind {
    match request {
        Request::Echo => RequestKind::Echo,
        Request::Get { .. } => RequestKind::Read,
        Request::Write(_) => RequestKind::Write,
    }
}
