//! The world: one process, one thread, one seed, virtual time.
//!
//! Everything that happens is an [`Event`] on one agenda. An event touches one
//! machine or one client; what it causes is planned as further events. After
//! each, the [`Ledger`] looks at the machine that was touched.
//!
//! | file | what |
//! |---|---|
//! | `processes` | how the parts of a node are called: ticks, turns, disk work, birth and death |
//! | `carriage` | how messages, requests and answers travel |
//! | `transfers` | how snapshots travel |
//! | `nemesis` | what goes wrong |
//! | `phases` | faults, then peace, then the final accounts |

use crate::sim::clients::Clients;
use crate::sim::clock::{Agenda, Time, millis};
use crate::sim::disk::{DiskOptions, SimDisk};
use crate::sim::front::{CallId, Caller, Request, Response};
use crate::sim::ledger::Ledger;
use crate::sim::network::{End, Network};
use crate::sim::random::Random;
use crate::sim::report::Summary;
use crate::sim::server::Server;
use crate::sim::strangers::Admissions;
use crate::sim::swarm::{Mode, Swarm};
use crate::sim::trace::Trace;
use crate::sim::transfers::Transfer;
use kontiki::raft::{Members, Message};
use kontiki::storage::LogSettings;
use kontiki::storage::journal::JournalSettings;
use kontiki::types::NodeId;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Something that happens.
#[derive(Debug)]
pub enum Event {
    /// A process's clock ticks.
    Tick { node: NodeId, life: u64 },
    /// Its loop takes a turn.
    Turn { node: NodeId, life: u64 },
    /// Its log writer has done what waited.
    Log { node: NodeId, life: u64 },
    /// The log's storer has moved some of it.
    Store { node: NodeId, life: u64 },
    /// Its applier has.
    Apply { node: NodeId, life: u64 },
    /// Its state is made durable, if it is time, and the room on its disk looked at.
    Sync { node: NodeId, life: u64, due: Time },
    /// Its requests are looked at.
    Front { node: NodeId, life: u64 },
    /// It learns that a peer's connection broke.
    PeerLost { node: NodeId, life: u64, peer: NodeId },
    /// A message arrives.
    Message { from: NodeId, to: NodeId, message: Box<Message>, sent: Time },
    /// A request arrives.
    Request { to: NodeId, request: Box<Request> },
    /// An answer arrives.
    Answer { caller: Caller, call: CallId, answer: Box<Response> },
    /// The caller learns that the connection broke under its call.
    Broken { caller: Caller, call: CallId },
    /// The caller learns that there was nobody to call.
    NotConnected { caller: Caller, call: CallId },
    /// A client has time for a new wish.
    Begin { client: usize },
    /// A client tries again.
    Again { client: usize },
    /// A client's patience with a call ends.
    Timeout { client: usize, call: CallId },
    /// The next piece of a snapshot arrives.
    Piece { transfer: u64 },
    /// The sender of a snapshot learns how it ended.
    SnapshotEnded { node: NodeId, life: u64, peer: NodeId, applied: Option<kontiki::types::Index> },
    /// A machine starts its process.
    Start { node: NodeId },
    /// A process has waited for its disk for too long.
    DiskGivenUp { node: NodeId, life: u64 },
    /// Something goes wrong.
    Strike,
    /// A fault ends.
    Relief(Relief),
}

/// How a fault ends.
#[derive(Clone, Debug)]
pub enum Relief {
    /// These links work again.
    Mend(Vec<(End, End)>),
    /// The disk has room again.
    Room(NodeId),
}

/// See the module.
pub struct World {
    pub swarm: Swarm,
    /// The moment that the nodes' clocks count from.
    pub beginning: Instant,
    pub now: Time,
    pub agenda: Agenda<Event>,
    pub servers: BTreeMap<NodeId, Server>,
    pub members: Members,
    pub network: Network,
    pub clients: Clients,
    pub transfers: BTreeMap<u64, Transfer>,
    pub transfers_begun: u64,
    /// Calls under way, by who must be told if their target dies.
    pub calls: BTreeMap<(NodeId, CallId), Caller>,
    pub admissions: Admissions,
    pub ledger: Ledger,
    pub trace: Trace,
    pub random: Random,
    /// Whether things go wrong.
    pub faulty: bool,
    /// When that ended.
    pub healed: Option<Time>,
    /// Whether clients go on by themselves.
    pub busy: bool,
    pub steps: u64,
    pub summary: Summary,
}

impl World {
    pub fn new(seed: u64, tells: bool) -> Self {
        let mut random = Random::new(seed);
        let swarm = Swarm::of_seed(&mut random);
        let mut trace = Trace::new(tells);
        trace.note(Time::ZERO, "world", &[seed], || format!("{swarm:#?}"));
        let ids = |from: u64, count: u64| (from..from + count).map(NodeId);
        let members = Members::of(ids(1, swarm.voters), [], ids(swarm.voters + 1, swarm.learners));
        let servers = servers(&swarm, &mut random);
        let nodes: Vec<NodeId> = members.all().collect();
        let network = Network::new(swarm.network.clone(), random.fork());
        let clients = Clients::new(swarm.clients, nodes.clone(), random.fork());
        let mut summary = Summary { seeds: 1, ..Summary::default() };
        let wrong_clocks = servers.values().filter(|server| server.rate != 1.0).count();
        crate::sim::report::count(&mut summary.faults, "clock too fast or too slow", wrong_clocks as u64);
        Self {
            beginning: Instant::now(),
            now: Time::ZERO,
            agenda: Agenda::default(),
            admissions: Admissions::new(&nodes),
            servers,
            members,
            network,
            clients,
            transfers: BTreeMap::new(),
            transfers_begun: 0,
            calls: BTreeMap::new(),
            ledger: Ledger::default(),
            trace,
            random,
            faulty: true,
            healed: None,
            busy: true,
            steps: 0,
            summary,
            swarm,
        }
    }

    pub fn plan(&mut self, after: Time, event: Event) {
        self.agenda.plan(self.now + after, event);
    }

    /// One event. False: nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.agenda.next() else { return false };
        self.now = at;
        self.steps += 1;
        if let Some((node, until)) = self.held_up(&event) {
            // A process that stands still, or waits for its disk, gets to it later. It looks
            // again now and then, since the fault may end earlier.
            let after = until.saturating_sub(self.now).min(millis(500));
            self.trace.note(self.now, "later", &[node.0], String::new);
            self.plan(after, event);
            return true;
        }
        self.happen(event);
        assert!(self.agenda.len() < 200_000, "{} events are planned: something grows", self.agenda.len());
        true
    }

    /// Until when an event has to wait for the machine that it touches.
    fn held_up(&self, event: &Event) -> Option<(NodeId, Time)> {
        let (node, life, of_disk) = match event {
            Event::Tick { node, life }
            | Event::Turn { node, life }
            | Event::Front { node, life }
            | Event::PeerLost { node, life, .. } => (*node, *life, false),
            Event::Log { node, life }
            | Event::Store { node, life }
            | Event::Apply { node, life }
            | Event::Sync { node, life, .. } => (*node, *life, true),
            _ => return None,
        };
        let server = &self.servers[&node];
        server.running.as_ref().filter(|running| running.life == life)?;
        let stalled = if of_disk { server.stalled_until } else { Time::ZERO };
        let until = server.paused_until.max(stalled);
        (until > self.now).then_some((node, until))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Turn { node, life } => self.turn(node, life),
            Event::Log { node, life } => self.write_log(node, life),
            Event::Store { node, life } => self.store_log(node, life),
            Event::Apply { node, life } => self.apply(node, life),
            Event::Sync { node, life, due } => self.sync_state(node, life, due),
            Event::Front { node, life } => self.look_at_front(node, life),
            Event::PeerLost { node, life, peer } => self.lose_peer(node, life, peer),
            Event::Message { from, to, message, sent } => self.deliver(from, to, *message, sent),
            Event::Request { to, request } => self.deliver_request(to, *request),
            Event::Answer { caller, call, answer } => self.deliver_answer(caller, call, *answer),
            Event::Broken { caller, call } => self.break_call(caller, call, true),
            Event::NotConnected { caller, call } => self.break_call(caller, call, false),
            Event::Begin { client } => self.begin_wish(client),
            Event::Again { client } => {
                let next = self.clients.again(self.now, client);
                self.follow(client, next);
            }
            Event::Timeout { client, call } => {
                let next = self.clients.timed_out(self.now, client, call);
                self.follow(client, next);
            }
            Event::Piece { transfer } => self.move_transfer(transfer),
            Event::SnapshotEnded { node, life, peer, applied } => {
                self.end_snapshot(node, life, peer, applied)
            }
            Event::Start { node } => self.start(node),
            Event::DiskGivenUp { node, life } => self.give_up_disk(node, life),
            Event::Strike => self.strike_any(),
            Event::Relief(relief) => self.relieve(relief),
        }
    }

    /// Runs until a moment.
    pub fn run_until(&mut self, moment: Time) {
        while self.now < moment && self.step() {}
    }

    /// Runs until something is true, or a moment has come; answers whether it is.
    pub fn run_until_true(&mut self, moment: Time, mut is_true: impl FnMut(&Self) -> bool) -> bool {
        while self.now < moment {
            if is_true(self) {
                return true;
            }
            let next = self.now + millis(20);
            self.run_until(next.min(moment));
        }
        is_true(self)
    }

    pub fn server(&mut self, node: NodeId) -> &mut Server {
        self.servers.get_mut(&node).expect("a node of the world")
    }

    /// The process of a node in this life, if it is still that one.
    pub fn lives(&self, node: NodeId, life: u64) -> bool {
        self.servers[&node].running.as_ref().is_some_and(|running| running.life == life)
    }
}

fn log_settings(swarm: &Swarm) -> LogSettings {
    let (segment_bytes, segments_max) = swarm.journal;
    let journal = JournalSettings { segment_bytes, segments_min: 2, segments_max };
    LogSettings { journal, backlog_bytes: swarm.backlog_bytes, ..DiskOptions::default().log }
}

/// The machines. Damage may hit a minority of the voters, or anybody.
fn servers(swarm: &Swarm, random: &mut Random) -> BTreeMap<NodeId, Server> {
    let mut voters: Vec<u64> = (1..=swarm.voters).collect();
    random.shuffle(&mut voters);
    let minority = usize::try_from((swarm.voters - 1) / 2).expect("small");
    let brittle = |id: u64| match swarm.mode {
        Mode::Wild => true,
        Mode::Atlas => id > swarm.voters || voters[..minority].contains(&id),
    };
    let ids = 1..=swarm.nodes();
    let server = |id: u64| {
        let options = DiskOptions {
            capacity: 64 << 20,
            rewrite_bytes: random.one_of(&[4 << 10, 16 << 10, 256 << 10]),
            log: log_settings(swarm),
            ..DiskOptions::default()
        };
        let disk = SimDisk::new(random.seed(), options);
        let drift = (random.share() * 2.0 - 1.0) * swarm.clock_drift;
        (NodeId(id), Server::new(NodeId(id), disk, 1.0 + drift, brittle(id), random.fork()))
    };
    let servers: BTreeMap<NodeId, Server> = ids.map(server).collect();
    for server in servers.values() {
        server.disk.format().expect("nothing is armed yet");
        server.disk.allow_damage(server.brittle);
    }
    servers
}
