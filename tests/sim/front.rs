//! Requests on a node: the real routing of `api`, in virtual time.
//!
//! Its futures are polled by hand whenever the world looks, its clock is the
//! node's own, and what it asks of other nodes the world carries.

use crate::sim::clock::Time;
use bytes::Bytes;
use kontiki::api::call::Call;
use kontiki::api::clock::Clock;
use kontiki::api::deadline::Deadline;
use kontiki::api::fault::Fault;
use kontiki::api::node_status::NodeStatus;
use kontiki::api::remote::{self, Later, NoAnswer, OtherNodes, Question};
use kontiki::api::router::{FromLeader, Router};
use kontiki::kv::{self, KeyRange, KeyValue, Range};
use kontiki::machine::{self, View};
use kontiki::replica::{Applied, Handle};
use kontiki::settings::Timing;
use kontiki::types::{EntryId, Index, NodeId, Revision};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Identifies a call.
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
    /// What another node asks the leader.
    Question(Question),
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
pub enum Response {
    Wrote(machine::Reply),
    Read(Vec<Option<KeyValue>>, Revision),
    /// To another node.
    FromLeader(remote::Answer),
    Refused(Fault),
}

/// What a front wants sent.
#[derive(Debug)]
pub enum Outgoing {
    Answer {
        caller: Caller,
        call: CallId,
        answer: Response,
    },
    /// A call from this node to another one.
    Call {
        to: NodeId,
        request: Request,
    },
}

/// What the ledger wants to know.
#[derive(Debug)]
pub enum Noted {
    /// A read began here, for which this node may be asked to confirm that it leads.
    IndexAsked(CallId),
    /// It did.
    IndexGiven(CallId, Index),
    /// A write was acknowledged by the replica.
    Acknowledged(Bytes, EntryId, Revision),
}

type Work = Pin<Box<dyn Future<Output = Response> + Send>>;
type Notes = Arc<Mutex<Vec<Noted>>>;

struct Job {
    request: Request,
    work: Work,
}

/// The requests that are at work on one node, in one of its lives.
pub struct Front {
    life: u64,
    router: Arc<Router<VirtualClock>>,
    colleagues: Arc<Colleagues>,
    jobs: Vec<Job>,
    /// Questions of this node's that are under way.
    asked: BTreeMap<CallId, oneshot::Sender<Result<remote::Answer, NoAnswer>>>,
    calls: u64,
    notes: Notes,
    pub outgoing: Vec<Outgoing>,
}

/// The moment at which a front is looked at.
#[derive(Clone, Copy)]
pub struct Here {
    pub now: Time,
    /// The same moment by the node's own clock…
    pub instant: Instant,
    /// …and how fast that runs.
    pub rate: f64,
}

impl Front {
    pub fn new(own: NodeId, life: u64, handle: Handle, timing: Timing, beginning: Instant) -> Self {
        let colleagues = Arc::new(Colleagues::default());
        let clock = VirtualClock { state: Arc::new(Mutex::new(ClockState { now: beginning, due: None })) };
        let router = Arc::new(Router { handle, others: colleagues.clone(), own, timing, clock });
        let (jobs, outgoing) = (Vec::new(), Vec::new());
        let (asked, notes) = (BTreeMap::new(), Notes::default());
        Self { life, router, colleagues, jobs, asked, calls: 0, notes, outgoing }
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether something was handed to the replica that it has not seen yet.
    pub fn woke(&self) -> bool {
        self.router.handle.waiting() > 0
    }

    /// What the ledger wants to know, since it last asked.
    pub fn noted(&mut self) -> Vec<Noted> {
        std::mem::take(&mut locked(&self.notes))
    }

    /// When it must be looked at again, whatever else happens.
    pub fn due(&self, here: Here) -> Option<Time> {
        let due = locked(&self.router.clock.state).due?;
        let after = due.saturating_duration_since(here.instant).div_f64(here.rate);
        Some(here.now + after + Duration::from_micros(1))
    }

    /// A request came in. One from another node is never forwarded.
    pub fn take(&mut self, here: Here, request: Request) {
        let left = request.deadline.saturating_sub(here.now).mul_f64(here.rate);
        let deadline = Deadline::starting_at(here.instant, Some(left), left);
        if matches!(request.ask, Ask::Read(_) | Ask::Question(Question::ReadIndex)) {
            locked(&self.notes).push(Noted::IndexAsked(request.call));
        }
        let task = Task { router: self.router.clone(), call: request.call, notes: self.notes.clone() };
        let work = task.answer(request.ask.clone(), request.caller, deadline);
        self.jobs.push(Job { request, work: Box::pin(work) });
        self.look(here);
    }

    /// A call from this node has ended.
    pub fn answered(&mut self, here: Here, call: CallId, answer: Result<remote::Answer, NoAnswer>) {
        if let Some(asker) = self.asked.remove(&call) {
            let _ = asker.send(answer); // Who asked may have given up.
        }
        self.look(here);
    }

    /// Sees what has become of all requests.
    pub fn look(&mut self, here: Here) {
        *locked(&self.router.clock.state) = ClockState { now: here.instant, due: None };
        let mut position = 0;
        while position < self.jobs.len() {
            let context = &mut Context::from_waker(Waker::noop());
            match self.jobs[position].work.as_mut().poll(context) {
                Poll::Pending => position += 1,
                Poll::Ready(answer) => {
                    let Request { call, caller, .. } = self.jobs.remove(position).request;
                    self.outgoing.push(Outgoing::Answer { caller, call, answer });
                }
            }
        }
        self.asked.retain(|_, asker| !asker.is_closed());
        self.send_questions(here);
    }

    /// Hands to the world what the routing has asked of other nodes.
    fn send_questions(&mut self, here: Here) {
        for Sent { to, question, deadline, asker } in std::mem::take(&mut *locked(&self.colleagues.sent)) {
            self.calls += 1;
            let call = CallId((self.router.own.0 << 52) | (self.life << 32) | self.calls);
            self.asked.insert(call, asker);
            let left = deadline.saturating_duration_since(here.instant).div_f64(here.rate);
            let caller = Caller::Node(self.router.own, self.life);
            let request = Request { call, caller, ask: Ask::Question(question), deadline: here.now + left };
            self.outgoing.push(Outgoing::Call { to, request });
        }
    }
}

/// What works on one request.
struct Task {
    router: Arc<Router<VirtualClock>>,
    call: CallId,
    notes: Notes,
}

impl Task {
    async fn answer(self, ask: Ask, caller: Caller, deadline: Deadline) -> Response {
        let call = match caller {
            Caller::Client(_) => Call::of_client(deadline),
            Caller::Node(..) => Call::forwarded(deadline),
        };
        let answer = match ask {
            Ask::Write(command) => self.write(&call, command).await,
            Ask::Read(keys) => self.read(&call, &keys).await,
            Ask::Question(question) => self.question(&call, question).await,
        };
        answer.unwrap_or_else(Response::Refused)
    }

    async fn write(&self, call: &Call, command: Bytes) -> Result<Response, Fault> {
        let (leader, applied) = self.router.propose(call, command.clone()).await?;
        if leader == self.router.own {
            self.acknowledged(command, &applied);
        }
        Ok(Response::Wrote(applied.reply))
    }

    async fn read(&self, call: &Call, keys: &[Bytes]) -> Result<Response, Fault> {
        let (view, leader, index) = self.router.linearizable_view(call).await?;
        if leader == self.router.own {
            self.note(Noted::IndexGiven(self.call, index));
        }
        read(&view, keys)
    }

    async fn question(&self, call: &Call, question: Question) -> Result<Response, Fault> {
        let FromLeader { answer, .. } = self.router.ask_leader(call, question.clone()).await?;
        match (question, &answer) {
            (Question::Propose(command), remote::Answer::Applied(applied)) => {
                self.acknowledged(command, applied);
            }
            (_, remote::Answer::ReadIndex(index)) => self.note(Noted::IndexGiven(self.call, *index)),
            _ => {}
        }
        Ok(Response::FromLeader(answer))
    }

    fn acknowledged(&self, command: Bytes, applied: &Applied) {
        self.note(Noted::Acknowledged(command, applied.id, applied.reply.revision));
    }

    fn note(&self, noted: Noted) {
        locked(&self.notes).push(noted);
    }
}

fn read(view: &View, keys: &[Bytes]) -> Result<Response, Fault> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        match view.range(&one_key(key)) {
            Ok(result) => found.push(result.kvs.into_iter().next()),
            Err(kv::ReadError::Refused(refusal)) => {
                panic!("a read of the newest state was refused: {refusal}")
            }
            // The engine failed: this node ends as soon as its applier notices.
            Err(error @ (kv::ReadError::Table(_) | kv::ReadError::Abandoned)) => return Err(error.into()),
        }
    }
    Ok(Response::Read(found, view.revision()))
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

/// The other nodes, as one node sees them: what is asked of them waits for the world.
#[derive(Default)]
struct Colleagues {
    sent: Mutex<Vec<Sent>>,
}

struct Sent {
    to: NodeId,
    question: Question,
    deadline: Instant,
    asker: oneshot::Sender<Result<remote::Answer, NoAnswer>>,
}

impl OtherNodes for Colleagues {
    fn ask(
        &self,
        to: NodeId,
        question: Question,
        deadline: Instant,
    ) -> Later<Result<remote::Answer, NoAnswer>> {
        let (asker, answer) = oneshot::channel();
        locked(&self.sent).push(Sent { to, question, deadline, asker });
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(NoAnswer::Lost("forgotten".into()))) })
    }

    fn status(&self, node: NodeId, _deadline: Instant) -> Later<Result<NodeStatus, NoAnswer>> {
        unreachable!("nobody asks n{node} how it is")
    }
}

/// The clock of a node, which does not advance while the node is polled.
struct VirtualClock {
    state: Arc<Mutex<ClockState>>,
}

struct ClockState {
    now: Instant,
    /// The first moment that somebody waits for.
    due: Option<Instant>,
}

impl Clock for VirtualClock {
    type Sleep = VirtualSleep;

    fn now(&self) -> Instant {
        locked(&self.state).now
    }

    fn sleep_until(&self, moment: Instant) -> VirtualSleep {
        VirtualSleep { state: self.state.clone(), moment }
    }
}

struct VirtualSleep {
    state: Arc<Mutex<ClockState>>,
    moment: Instant,
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        let mut state = locked(&self.state);
        if state.now >= self.moment {
            return Poll::Ready(());
        }
        state.due = Some(state.due.map_or(self.moment, |due| due.min(self.moment)));
        Poll::Pending
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}
