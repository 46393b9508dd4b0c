//! Delivery of messages between nodes, requests and answers.
//!
//! Messages are like datagrams: lost, repeated, late, out of order. Requests and
//! answers travel on connections, as gRPC's do: once and in order, or the
//! connection breaks, which the caller notices when its target dies and otherwise
//! by its own deadline.

use crate::sim::clients::Move;
use crate::sim::clock::{Time, millis};
use crate::sim::front::{CallId, Caller, Outgoing, Request, Response};
use crate::sim::network::End;
use crate::sim::world::{Event, World};
use kontiki::api::remote::{self, NoAnswer};
use kontiki::raft::Message;
use kontiki::types::NodeId;

/// How long past its deadline a client stops waiting.
const CLIENT_MARGIN: Time = millis(30);

impl World {
    /// Carries what a node has sent in its last turn.
    pub fn send_out(&mut self, node: NodeId) {
        let Some(running) = &self.servers[&node].running else { return };
        let (messages, snapshots) = {
            let mut outbox = running.outbox.lock();
            (std::mem::take(&mut outbox.messages), std::mem::take(&mut outbox.snapshots))
        };
        for (to, message) in messages {
            let running = self.servers[&node].running.as_ref().expect("it has just sent");
            self.ledger.sent(running.parts.driver.node(), to, &message);
            self.send(node, to, message);
        }
        for (to, term, snapshot) in snapshots {
            self.begin_transfer(node, to, term, snapshot);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let arrivals = self.network.send(self.now, End::Node(from), End::Node(to));
        let numbers = [from.0, to.0, message.term().0, kind(&message)];
        let fate = arrivals.map(|at| at.map_or(0, |at| u64::try_from(at.as_nanos()).expect("fits")));
        let numbers = [numbers[0], numbers[1], numbers[2], numbers[3], fate[0], fate[1]];
        self.trace.note(self.now, "sends", &numbers, || {
            let fate = match arrivals {
                [None, _] => "  LOST".to_owned(),
                [Some(at), None] => format!("  → {:.3}", at.as_secs_f64()),
                [Some(at), Some(again)] => format!("  → {:.3} {:.3}", at.as_secs_f64(), again.as_secs_f64()),
            };
            format!("n{from} → n{to} {}{fate}", short(&message))
        });
        for at in arrivals.into_iter().flatten() {
            let message = Box::new(message.clone());
            self.agenda.plan(at, Event::Message { from, to, message, sent: self.now });
        }
    }

    pub fn deliver(&mut self, from: NodeId, to: NodeId, message: Message, sent: Time) {
        self.network.arrived(End::Node(from), End::Node(to));
        let now = self.now;
        if self.healed.is_some_and(|healed| sent < healed && now > healed + self.swarm.timing.election_min) {
            // Earlier connections are closed by now. Otherwise an old heartbeat could make everybody believe
            // in a leader that has stepped down.
            return;
        }
        let server = self.server(to);
        if server.paused_until > now {
            // It waits in the socket of a paused process.
            let at = server.paused_until;
            return self.agenda.plan(at, Event::Message { from, to, message: Box::new(message), sent });
        }
        let Some(running) = &server.running else { return };
        let numbers = [from.0, to.0, message.term().0, kind(&message)];
        let taken = running.parts.handle.deliver(from, message.clone());
        self.ledger.leads.heard(to, from);
        self.trace.note(now, "receives", &numbers, || {
            format!("n{to} ← n{from} {}{}", short(&message), if taken { "" } else { "  DROPPED" })
        });
        self.plan_turn(to);
    }

    /// Others notice that a process has ended.
    pub fn break_connections(&mut self, node: NodeId) {
        let peers: Vec<(NodeId, u64)> = self
            .servers
            .iter()
            .filter(|(id, _)| **id != node)
            .filter_map(|(id, server)| Some((*id, server.running.as_ref()?.life)))
            .collect();
        for (peer, life) in peers {
            if !self.network.is_cut(End::Node(node), End::Node(peer)) && self.random.chance(0.8) {
                let after = self.random.time(Time::from_micros(100)..millis(20));
                self.plan(after, Event::PeerLost { node: peer, life, peer: node });
            }
        }
        self.end_transfers(node);
        let broken: Vec<CallId> = self
            .calls
            .range((node, CallId(0))..=(node, CallId(u64::MAX)))
            .map(|((_, call), _)| *call)
            .collect();
        for call in broken {
            let caller = self.calls.remove(&(node, call)).expect("just seen");
            if !self.network.is_cut(End::Node(node), end(caller)) {
                let after = self.random.time(Time::from_micros(100)..millis(20));
                self.plan(after, Event::Broken { caller, call });
            }
        }
    }

    pub fn lose_peer(&mut self, node: NodeId, life: u64, peer: NodeId) {
        if self.lives(node, life) {
            self.note(node, "lost", &[peer.0], || format!("the connection to n{peer}"));
            let running = self.servers[&node].running.as_ref().expect("lives");
            running.parts.handle.peer_lost(peer);
            self.plan_turn(node);
        }
    }

    /// A client does what it has decided.
    pub fn follow(&mut self, client: usize, next: Move) {
        match next {
            Move::Nothing => {}
            Move::Next { at } if self.busy => self.agenda.plan(at, Event::Begin { client }),
            Move::Next { .. } => {}
            Move::Again { at } => self.agenda.plan(at, Event::Again { client }),
            Move::Send { to, request } => {
                let timeout = request.deadline + CLIENT_MARGIN;
                self.agenda.plan(timeout, Event::Timeout { client, call: request.call });
                self.call(End::Clients, to, request);
            }
        }
    }

    pub fn begin_wish(&mut self, client: usize) {
        if self.busy && !self.clients.is_busy(client) {
            let next = self.clients.begin(self.now, client);
            if matches!(&next, Move::Send { request, .. } if request.deadline <= self.now) {
                crate::sim::report::count(&mut self.summary.faults, "no time given", 1);
            }
            self.follow(client, next);
        }
    }

    fn call(&mut self, from: End, to: NodeId, request: Request) {
        let arrival = self.network.send_on_connection(self.now, from, End::Node(to));
        let numbers = [to.0, request.call.0, u64::from(arrival.is_some())];
        self.trace.note(self.now, "calls", &numbers, || {
            format!("n{to} by {:?}: {:x} {:?}", request.caller, request.call.0, request.ask)
        });
        if let Some(at) = arrival {
            self.agenda.plan(at, Event::Request { to, request: Box::new(request) });
        }
    }

    pub fn deliver_request(&mut self, to: NodeId, request: Request) {
        let (now, here) = (self.now, self.moment_of(to));
        let (call, caller) = (request.call, request.caller);
        let server = self.server(to);
        if server.paused_until > now {
            let at = server.paused_until;
            return self.agenda.plan(at, Event::Request { to, request: Box::new(request) });
        }
        let Some(running) = &mut server.running else {
            if let Some(at) = self.network.send_on_connection(now, End::Node(to), end(caller)) {
                self.agenda.plan(at, Event::NotConnected { caller, call });
            }
            return;
        };
        running.front.take(here, request);
        self.calls.insert((to, call), caller);
        self.after_front(to);
    }

    /// Sends an answer, or a call to another node.
    pub fn send_call(&mut self, node: NodeId, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Call { to, request } => self.call(End::Node(node), to, request),
            Outgoing::Answer { caller, call, answer } => {
                self.calls.remove(&(node, call));
                let arrival = self.network.send_on_connection(self.now, End::Node(node), end(caller));
                self.note(node, "answers", &[call.0, u64::from(arrival.is_some())], || {
                    format!("{caller:?}: {:x} {answer:?}", call.0)
                });
                let slowness = match caller {
                    Caller::Client(_) => self.clients.slowness(),
                    Caller::Node(..) => Time::ZERO,
                };
                if slowness > Time::ZERO {
                    crate::sim::report::count(&mut self.summary.faults, "slow client", 1);
                }
                if let Some(at) = arrival {
                    self.agenda.plan(at + slowness, Event::Answer { caller, call, answer: Box::new(answer) });
                }
            }
        }
    }

    pub fn deliver_answer(&mut self, caller: Caller, call: CallId, answer: Response) {
        match caller {
            Caller::Client(client) => {
                if let Response::Read(..) = &answer {
                    crate::sim::report::count(&mut self.summary.events, "reads answered", 1);
                }
                let next = self.clients.answered(self.now, client, call, answer);
                self.follow(client, next);
            }
            Caller::Node(node, life) => match answer {
                Response::FromLeader(answer) => self.answer_node(node, life, call, Ok(answer)),
                Response::Refused(fault) => {
                    self.answer_node(node, life, call, Err(NoAnswer::Refused(fault)));
                }
                answer => panic!("another node was answered {answer:?}"),
            },
        }
    }

    /// A call has lost its connection, or never had one.
    pub fn break_call(&mut self, caller: Caller, call: CallId, was_sent: bool) {
        match caller {
            Caller::Client(client) => {
                let next = if was_sent {
                    self.clients.broken(self.now, client, call)
                } else {
                    self.clients.not_connected(self.now, client, call)
                };
                self.follow(client, next);
            }
            Caller::Node(node, life) => {
                let why = "the connection broke".to_owned();
                let no_answer = if was_sent { NoAnswer::Lost(why) } else { NoAnswer::NotSent(why) };
                self.answer_node(node, life, call, Err(no_answer));
            }
        }
    }

    fn answer_node(
        &mut self,
        node: NodeId,
        life: u64,
        call: CallId,
        answer: Result<remote::Answer, NoAnswer>,
    ) {
        if !self.lives(node, life) {
            return;
        }
        let here = self.moment_of(node);
        let Some(running) = &mut self.server(node).running else { return };
        running.front.answered(here, call, answer);
        self.after_front(node);
    }
}

pub fn end(caller: Caller) -> End {
    match caller {
        Caller::Client(_) => End::Clients,
        Caller::Node(node, _) => End::Node(node),
    }
}

fn kind(message: &Message) -> u64 {
    match message {
        Message::RequestVote(_) => 1,
        Message::Vote(_) => 2,
        Message::Append(append) => 3 + append.entries.len() as u64 * 16 + append.prev.index.0 * 4096,
        Message::Accepted { matched, .. } => 4 + matched.0 * 16,
        Message::Rejected { prev, .. } => 5 + prev.0 * 16,
        Message::Heartbeat(heartbeat) => 6 + heartbeat.round.0 * 16,
        Message::HeartbeatAck { round, .. } => 7 + round.0 * 16,
        Message::InstallSnapshot { .. } => 8,
        Message::TimeoutNow { .. } => 9,
    }
}

/// A short description of a message.
fn short(message: &Message) -> String {
    match message {
        Message::Append(append) => {
            let last = append.entries.last().map_or(append.prev, |entry| entry.id);
            let count = append.entries.len();
            format!("Append t{} {} +{count} to {last} commit {}", append.term, append.prev, append.commit)
        }
        other => format!("{other:?}"),
    }
}
