//! One client: sends a request, waits for its answer, notes it, and again.

use crate::bench::pace::{Schedule, Timetable};
use crate::bench::plan::Plan;
use crate::bench::recorder::{Kind, Recorder, outcome_is_unknown};
use crate::bench::sample::Acknowledged;
use crate::bench::workload::{Generator, Request, Shapes, Write};
use crate::proto::v1::kv_service_client::KvServiceClient;
use crate::proto::v1::maintenance_service_client::MaintenanceServiceClient;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// How long a client rests after a failure, so that failing fast is not mistaken for work.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// What the clients of one thread share.
pub struct Desk {
    shapes: Shapes,
    schedule: Schedule,
    closed: Cell<bool>,
    pace: Option<Pace>,
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

impl Desk {
    /// Without a pace the loop is closed. The pace is the timetable, this thread's number, and its gate.
    pub fn new(
        plan: &Plan,
        shapes: Shapes,
        schedule: Schedule,
        pace: Option<(Timetable, u64, Arc<Semaphore>)>,
    ) -> Self {
        let pace =
            pace.map(|(timetable, thread, gate)| Pace { timetable, thread, gate, taken: Cell::new(0) });
        Self {
            shapes,
            schedule,
            closed: Cell::new(false),
            pace,
            verify: plan.verify,
            recorder: RefCell::new(Recorder::default()),
        }
    }

    /// No more requests are sent.
    pub fn close(&self) {
        self.closed.set(true);
        if let Some(pace) = &self.pace {
            pace.gate.close();
        }
    }

    /// Hands over what was noted until `now`. Of the open loop, it also counts what was due and never sent.
    pub fn leave(&self, now: Instant) -> Recorder {
        let mut recorder = self.recorder.take();
        if let Some(Pace { timetable, thread, taken, .. }) = &self.pace {
            let measured_from = timetable.count_on(*thread, self.schedule.measure);
            let first_unsent = taken.get().max(measured_from);
            recorder.unsent = timetable.count_on(*thread, now).saturating_sub(first_unsent);
        }
        recorder
    }

    /// Waits until a request may be sent; `None` when it is over.
    async fn turn(&self) -> Option<Turn> {
        if self.closed.get() {
            return None;
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

    fn note(&self, turn: &Turn, sent: Instant, request: &Sent, result: Result<Answer, Status>) {
        let done = Instant::now();
        let counts = self.counts(turn, done);
        let mut recorder = self.recorder.borrow_mut();
        match result {
            Ok(answer) => {
                if let (Some(write), true) = (request.write, self.verify) {
                    self.sample(&mut recorder, write, answer.revision);
                }
                if counts {
                    let latency = done - turn.due.unwrap_or(sent);
                    let service = turn.due.map(|_| done - sent);
                    recorder.answered(request.kind, request.operations(), latency, service);
                    recorder.missing += u64::from(answer.missing);
                }
            }
            Err(status) => {
                recorder.unknown_writes += u64::from(request.write.is_some() && outcome_is_unknown(&status));
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

/// What there is to know of a request that has been sent.
struct Sent {
    kind: Kind,
    write: Option<Write>,
}

impl Sent {
    fn operations(&self) -> u64 {
        self.write.map_or(1, |write| write.count)
    }
}

/// What there is to know of an answer.
#[derive(Default)]
struct Answer {
    revision: i64,
    missing: bool,
}

/// The two stubs of one client; clones of a channel share its connection.
pub struct Client {
    kv: KvServiceClient<Channel>,
    maintenance: MaintenanceServiceClient<Channel>,
    /// The `grpc-timeout` of each request, spelled once.
    deadline: MetadataValue<Ascii>,
}

impl Client {
    /// A client on this channel.
    pub fn new(channel: Channel, plan: &Plan) -> Self {
        Self {
            kv: KvServiceClient::new(channel.clone()),
            maintenance: MaintenanceServiceClient::new(channel),
            deadline: deadline(plan.request_timeout),
        }
    }

    /// Sends requests until it is over.
    pub async fn work(mut self, mut generator: Generator, desk: Rc<Desk>) {
        while let Some(turn) = desk.turn().await {
            let request = generator.next(&desk.shapes);
            let about = describe(&request);
            let sent = Instant::now();
            let result = self.send(request).await;
            let failed = result.is_err();
            desk.note(&turn, sent, &about, result);
            if failed {
                tokio::time::sleep(REST_AFTER_FAILURE).await;
            }
        }
    }

    async fn send(&mut self, request: Request) -> Result<Answer, Status> {
        match request {
            Request::Echo(echo) => {
                let request = self.in_time(echo);
                self.maintenance.echo(request).await?;
                Ok(Answer::default())
            }
            Request::Get(get) => {
                let request = self.in_time(get);
                let answer = self.kv.get(request).await?.into_inner();
                Ok(Answer { missing: answer.kv.is_none(), ..Answer::default() })
            }
            Request::Put(_, put) => {
                let request = self.in_time(put);
                let answer = self.kv.put(request).await?.into_inner();
                Ok(Answer { revision: answer.header.unwrap_or_default().revision, missing: false })
            }
            Request::Txn(_, txn) => {
                let request = self.in_time(txn);
                let answer = self.kv.txn(request).await?.into_inner();
                Ok(Answer { revision: answer.header.unwrap_or_default().revision, missing: false })
            }
        }
    }

    fn in_time<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("grpc-timeout", self.deadline.clone());
        request
    }
}

/// In milliseconds: `grpc-timeout` allows eight digits, which is a day.
pub fn deadline(timeout: Duration) -> MetadataValue<Ascii> {
    let milliseconds = timeout.as_millis().clamp(1, 99_999_999);
    format!("{milliseconds}m").parse().expect("digits and a letter are ASCII")
}

fn describe(request: &Request) -> Sent {
    match request {
        Request::Echo(_) => Sent { kind: Kind::Echo, write: None },
        Request::Get(_) => Sent { kind: Kind::Read, write: None },
        Request::Put(write, _) | Request::Txn(write, _) => Sent { kind: Kind::Write, write: Some(*write) },
    }
}
