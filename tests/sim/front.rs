//! What a node does with requests between the wire and the replica: the part of
//! `rpc` that waits for leaders, forwards writes and asks for read indexes
//! (`grpc/forward.rs`, `grpc/read_path.rs`, `grpc/leader.rs`), without its sockets.
//!
//! The replica's own futures are polled by hand, and what its errors mean for a
//! write (certainly not applied, or unknown) is asked of the real table in `grpc/error.rs`.

use crate::sim::clock::{Time, millis};
use bytes::Bytes;
use kontiki::grpc::error::Fault;
use kontiki::kv::{self, KeyRange, KeyValue, Range, View};
use kontiki::reason::{Outcome as Fate, Reason};
use kontiki::replica::{Applied, Handle, ReadError, WriteError};
use kontiki::types::{EntryId, Index, NodeId, Revision};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// Names one call, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Client(usize),
    /// Another node, in the life in which it asked.
    Node(NodeId, u64),
}

/// What is asked of a node.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Execute a command, in its byte form.
    Write(Bytes),
    /// The newest values of these keys, at one revision.
    Read(Vec<Bytes>),
    /// An index that a linearizable read must have applied; only the leader knows.
    ReadIndex,
}

/// A request on its way or at work.
#[derive(Clone, Debug)]
pub struct Request {
    pub call: CallId,
    pub caller: Caller,
    pub ask: Ask,
    pub deadline: Time,
}

/// What a node answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Wrote(kv::Reply),
    Read(Vec<Option<KeyValue>>, Revision),
    Index(Index),
    Refused(Refusal),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// Certainly not executed.
    pub certain: bool,
    /// The leader, as far as the node knows.
    pub leader: Option<NodeId>,
}

/// What a front wants sent.
#[derive(Debug)]
pub enum Outgoing {
    Answer {
        caller: Caller,
        call: CallId,
        answer: Answer,
    },
    /// A call of this node's own to another one.
    Call {
        to: NodeId,
        request: Request,
    },
}

/// What the ledger wants to know.
#[derive(Debug)]
pub enum Noted {
    /// A read index was asked for here.
    IndexAsked(CallId),
    /// And given.
    IndexGiven(CallId, Index),
    /// A write was acknowledged by the replica.
    Acknowledged(Bytes, EntryId, Revision),
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Job {
    request: Request,
    leaderless_until: Time,
    patient_until: Time,
    state: State,
}

enum State {
    /// Looks for the leader.
    Looking,
    /// Waits a moment before it looks again.
    Pausing { until: Time, tried: NodeId, refusal: Refusal },
    /// The replica here executes the write.
    Writing(Pending<Result<Applied, WriteError>>),
    /// The replica here confirms that it leads.
    Confirming(Pending<Result<Index, ReadError>>),
    /// Another node was asked.
    Asking { call: CallId, leader: NodeId },
    /// The state here must come so far.
    CatchingUp(Pending<Result<Arc<View>, ReadError>>),
}

/// What a job did when it was looked at.
enum Step {
    Wait,
    Again,
    Done(Answer),
}

/// The requests that are at work on one node, in one of its lives.
pub struct Front {
    own: NodeId,
    life: u64,
    election_max: Time,
    heartbeat: Time,
    jobs: Vec<Job>,
    calls: u64,
    /// Whether something was handed to the replica since the world last looked.
    pub woke: bool,
    pub outgoing: Vec<Outgoing>,
    pub noted: Vec<Noted>,
}

/// What a front looks at.
#[derive(Clone, Copy)]
pub struct Here<'a> {
    pub now: Time,
    /// The same moment by the node's own clock…
    pub instant: Instant,
    /// …and how fast that runs.
    pub rate: f64,
    pub handle: &'a Handle,
}

impl Front {
    pub fn new(own: NodeId, life: u64, election_max: Time, heartbeat: Time) -> Self {
        let (jobs, outgoing, noted) = (Vec::new(), Vec::new(), Vec::new());
        Self { own, life, election_max, heartbeat, jobs, calls: 0, woke: false, outgoing, noted }
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// When it must be looked at again, whatever else happens.
    pub fn due(&self) -> Option<Time> {
        let due = self.jobs.iter().map(|job| match job.state {
            State::Looking => job.leaderless_until.min(job.request.deadline),
            State::Pausing { until, .. } => until,
            _ => job.request.deadline + LOOSE,
        });
        due.min()
    }

    /// A request came in. One from a node is never passed on.
    pub fn take(&mut self, here: Here<'_>, request: Request) {
        let patient = matches!(request.caller, Caller::Client(_));
        let until = |time: Time| if patient { (here.now + time).min(request.deadline) } else { here.now };
        let job = Job {
            leaderless_until: until(self.election_max),
            patient_until: until(2 * self.election_max),
            state: State::Looking,
            request,
        };
        self.jobs.push(job);
        self.look(here);
    }

    /// Another node answered a call of ours.
    pub fn answered(&mut self, here: Here<'_>, call: CallId, answer: Answer) {
        let asked = |job: &Job| matches!(job.state, State::Asking { call: own, .. } if own == call);
        let Some(position) = self.jobs.iter().position(asked) else { return };
        let State::Asking { leader, .. } = self.jobs[position].state else { unreachable!("just seen") };
        match answer {
            Answer::Index(index) => self.jobs[position].state = catch_up(here, index),
            Answer::Refused(refusal) => {
                if let Some(answer) =
                    retry(&mut self.jobs[position], here.now, self.heartbeat, leader, refusal)
                {
                    self.end(position, answer);
                }
            }
            answer @ (Answer::Wrote(..) | Answer::Read(..)) => self.end(position, answer),
        }
        self.look(here);
    }

    /// Sees what has become of all requests.
    pub fn look(&mut self, here: Here<'_>) {
        let mut position = 0;
        while position < self.jobs.len() {
            match self.step(position, here) {
                Step::Wait => position += 1,
                Step::Again => {}
                Step::Done(answer) => self.end(position, answer),
            }
        }
    }

    fn end(&mut self, position: usize, answer: Answer) {
        let Request { call, caller, .. } = self.jobs.remove(position).request;
        self.outgoing.push(Outgoing::Answer { caller, call, answer });
    }

    fn step(&mut self, position: usize, here: Here<'_>) -> Step {
        match &mut self.jobs[position].state {
            State::Looking => self.find_leader(position, here),
            State::Pausing { .. } => self.pause(position, here),
            State::Writing(write) => match poll(write) {
                Poll::Ready(Ok(Applied { id, reply })) => {
                    if let Ask::Write(command) = &self.jobs[position].request.ask {
                        self.noted.push(Noted::Acknowledged(command.clone(), id, reply.revision));
                    }
                    Step::Done(Answer::Wrote(reply))
                }
                Poll::Ready(Err(error)) => self.refused_here(position, here, &error.into()),
                Poll::Pending => self.late(position, here),
            },
            State::Confirming(read) => match poll(read) {
                Poll::Ready(Ok(index)) => {
                    let request = &self.jobs[position].request;
                    self.noted.push(Noted::IndexGiven(request.call, index));
                    if let Ask::ReadIndex = request.ask {
                        return Step::Done(Answer::Index(index));
                    }
                    self.jobs[position].state = catch_up(here, index);
                    Step::Again
                }
                Poll::Ready(Err(error)) => self.refused_here(position, here, &error.into()),
                Poll::Pending => self.late(position, here),
            },
            State::Asking { .. } => self.late(position, here),
            State::CatchingUp(view) => match poll(view) {
                Poll::Ready(Ok(view)) => Step::Done(read(&view, &self.jobs[position].request.ask)),
                Poll::Ready(Err(error)) => self.refused_here(position, here, &error.into()),
                Poll::Pending => self.late(position, here),
            },
        }
    }

    fn find_leader(&mut self, position: usize, here: Here<'_>) -> Step {
        let job = &mut self.jobs[position];
        let Some(leader) = here.handle.status().leader else {
            if here.now < job.leaderless_until {
                return Step::Wait;
            }
            let refusal = Refusal { reason: Reason::NoLeader, certain: true, leader: None };
            return Step::Done(Answer::Refused(refusal));
        };
        if leader == self.own {
            job.state = begin(job, here, &mut self.noted);
            self.woke = true;
            return Step::Again;
        }
        if let Caller::Node(..) = job.request.caller {
            let refusal = Refusal { reason: Reason::NotLeader, certain: true, leader: Some(leader) };
            return Step::Done(Answer::Refused(refusal));
        }
        self.calls += 1;
        let call = CallId((self.own.0 << 52) | (self.life << 32) | self.calls);
        let ask = match &job.request.ask {
            Ask::Read(_) | Ask::ReadIndex => Ask::ReadIndex,
            write @ Ask::Write(_) => write.clone(),
        };
        let caller = Caller::Node(self.own, self.life);
        let request = Request { call, caller, ask, deadline: job.request.deadline };
        self.outgoing.push(Outgoing::Call { to: leader, request });
        job.state = State::Asking { call, leader };
        Step::Wait
    }

    fn pause(&mut self, position: usize, here: Here<'_>) -> Step {
        let job = &mut self.jobs[position];
        let State::Pausing { until, tried, refusal } = job.state else { unreachable!("just seen") };
        let changed = here.handle.status().leader != Some(tried);
        if here.now < until && !changed {
            return Step::Wait;
        }
        if here.now >= job.patient_until {
            return Step::Done(Answer::Refused(refusal));
        }
        job.state = State::Looking;
        Step::Again
    }

    /// The replica here refused.
    fn refused_here(&mut self, position: usize, here: Here<'_>, fault: &Fault) -> Step {
        let certain = fault.outcome() != Some(Fate::Unknown);
        let leader = here.handle.status().leader;
        let refusal = Refusal { reason: fault.reason(), certain, leader };
        match retry(&mut self.jobs[position], here.now, self.heartbeat, self.own, refusal) {
            Some(answer) => Step::Done(answer),
            None => Step::Again,
        }
    }

    /// Whether the deadline has passed, with the moment of grace that lets the replica speak first.
    fn late(&mut self, position: usize, here: Here<'_>) -> Step {
        let request = &self.jobs[position].request;
        if here.now < request.deadline + LOOSE {
            return Step::Wait;
        }
        // A write may have left; it goes on by itself.
        let certain = !matches!(request.ask, Ask::Write(_));
        Step::Done(Answer::Refused(Refusal { reason: Reason::Deadline, certain, leader: None }))
    }
}

/// See [`kontiki::grpc::deadline`].
const LOOSE: Time = millis(12);

/// Tries again what was certainly not executed and may go better in a moment; else the answer.
fn retry(job: &mut Job, now: Time, heartbeat: Time, tried: NodeId, refusal: Refusal) -> Option<Answer> {
    if !refusal.certain || !refusal.reason.is_passing() || now >= job.patient_until {
        return Some(Answer::Refused(refusal));
    }
    let until = (now + heartbeat).min(job.patient_until);
    job.state = State::Pausing { until, tried, refusal };
    None
}

fn begin(job: &Job, here: Here<'_>, noted: &mut Vec<Noted>) -> State {
    let handle = here.handle.clone();
    match &job.request.ask {
        Ask::Write(command) => {
            let left = job.request.deadline.saturating_sub(here.now).mul_f64(here.rate);
            let (command, deadline) = (command.clone(), here.instant + left);
            State::Writing(Box::pin(async move { handle.write(command, deadline).await }))
        }
        Ask::Read(_) | Ask::ReadIndex => {
            noted.push(Noted::IndexAsked(job.request.call));
            State::Confirming(Box::pin(async move { handle.read_index().await }))
        }
    }
}

/// Waits until the state here includes the index, as the real server does.
fn catch_up(here: Here<'_>, index: Index) -> State {
    let handle = here.handle.clone();
    State::CatchingUp(Box::pin(async move { handle.wait_applied(index).await }))
}

fn read(view: &View, ask: &Ask) -> Answer {
    let Ask::Read(keys) = ask else { unreachable!("only reads wait for the state") };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        match view.range(&one_key(key)) {
            Ok(result) => found.push(result.kvs.into_iter().next()),
            Err(kv::ReadError::Refused(refusal)) => {
                panic!("a read of the newest state was refused: {refusal}")
            }
            // The engine failed: this node's end, as soon as its applier notices.
            Err(kv::ReadError::Table(_)) => {
                return Answer::Refused(Refusal { reason: Reason::Internal, certain: true, leader: None });
            }
        }
    }
    Answer::Read(found, view.revision())
}

/// The newest version of one key.
pub fn one_key(key: &Bytes) -> Range {
    Range {
        range: KeyRange::key(key.clone()),
        revision: None,
        limit: None,
        max_bytes: None,
        order: kv::Order::Ascending,
        keys_only: false,
        with_count: false,
        count_only: false,
    }
}

fn poll<T>(future: &mut Pending<T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
