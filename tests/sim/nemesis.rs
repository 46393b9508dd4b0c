//! What goes wrong, and how it ends.

use crate::sim::clock::{Time, millis};
use crate::sim::disk::{self, Part, Place};
use crate::sim::network::End;
use crate::sim::report::count;
use crate::sim::server::SlowDisk;
use crate::sim::strangers::Stranger;
use crate::sim::swarm::{DISK_RESERVE, Fault};
use crate::sim::world::{Event, Relief, World};
use kontiki::member::Member;
use kontiki::raft::{Append, Heartbeat, Message, RequestVote, Round, Vote};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::pin::pin;
use std::task::{Context, Waker};

impl World {
    /// Something of this seed's mix goes wrong, and something else will.
    pub fn strike_any(&mut self) {
        if !self.faulty {
            return;
        }
        let pause = self.random.time_about(self.swarm.fault_pause);
        self.plan(pause, Event::Strike);
        let fault = self.random.weighted(&self.swarm.faults);
        let node = self.any_node();
        if self.strike(fault, node) {
            count(&mut self.summary.faults, name(fault), 1);
        }
    }

    fn any_node(&mut self) -> NodeId {
        NodeId(self.random.number(1..self.swarm.nodes() + 1))
    }

    /// Half of the time the leader, where faults do most harm.
    fn likely_leader(&mut self, otherwise: NodeId) -> NodeId {
        let leader = self.servers.values().find_map(|server| {
            let node = server.running.as_ref()?.parts.driver.node();
            (node.leader() == Some(node.id())).then(|| node.id())
        });
        leader.filter(|_| self.random.chance(0.5)).unwrap_or(otherwise)
    }

    /// One thing goes wrong. False: it could not.
    fn strike(&mut self, fault: Fault, any: NodeId) -> bool {
        let node = self.likely_leader(any);
        self.trace.note(self.now, "FAULT", &[fault as u64, node.0, any.0], || {
            format!("{fault:?} n{node} or n{any}")
        });
        let alone = matches!(fault, Fault::Pause | Fault::Split | Fault::OneWay);
        let fills = alone && self.swarm.faults.iter().any(|(fault, _)| *fault == Fault::DiskFull);
        if fills && self.random.chance(0.2) && self.fill(node) {
            // What it accepted alone it cannot undo when it meets the others again.
            count(&mut self.summary.faults, "disk full of one that is alone", 1);
        }
        match fault {
            Fault::Crash => self.crash_for(node, false, millis(20)..millis(3000)),
            Fault::PowerCut => self.crash_for(node, true, millis(20)..millis(3000)),
            Fault::LongOutage => {
                let power = self.random.chance(0.5);
                self.crash_for(node, power, millis(8000)..millis(30_000))
            }
            Fault::AllAtOnce => self.crash_all(),
            Fault::RestartStorm => self.storm(node),
            Fault::Pause => self.pause_process(node),
            Fault::Split => self.split(),
            Fault::OneWay => self.one_way(node),
            Fault::Partial => self.partial(),
            Fault::Clog => self.clog(node),
            Fault::ClientsCutOff => {
                let links = vec![(End::Clients, End::Node(node)), (End::Node(node), End::Clients)];
                let kept = usize::try_from(self.random.number(0..3)).expect("small");
                self.cut(links.into_iter().take(kept.max(1)).collect())
            }
            Fault::DiskStall => self.stall(node),
            Fault::SlowDisk => self.slow_down(node),
            Fault::Transfer => self.hand_over(node),
            Fault::Moved => self.move_away(node, any),
            Fault::Foreigner => self.speak_up(node, any, Stranger::Foreign),
            Fault::StraySnapshot => self.send_stray(any),
            Fault::Wiped => self.wipe(any),
            Fault::Cloned => {
                let of = self.any_node();
                of != any && self.speak_up(node, any, Stranger::Cloned { of })
            }
            _ => self.strike_disk(fault, node, any),
        }
    }

    fn crash_for(&mut self, node: NodeId, power: bool, outage: std::ops::Range<Time>) -> bool {
        if self.servers[&node].running.is_none() {
            return false;
        }
        self.crash(node, power);
        let after = self.random.time(outage);
        self.plan(after, Event::Start { node });
        true
    }

    fn crash_all(&mut self) -> bool {
        let power = self.random.chance(0.7);
        let together = self.random.chance(0.5);
        let after = self.random.time(millis(20)..millis(2000));
        for node in self.members.all().collect::<Vec<_>>() {
            if self.servers[&node].running.is_some() {
                self.crash(node, power);
            }
            let own = self.random.time(millis(1)..millis(3000));
            self.plan(if together { after } else { own }, Event::Start { node });
        }
        true
    }

    fn storm(&mut self, node: NodeId) -> bool {
        // Each start comes to an early end in the middle of some operation.
        for _ in 0..self.random.number(3..8) {
            if self.servers[&node].running.is_some() {
                let power = self.random.chance(0.5);
                self.crash(node, power);
            }
            let after = u32::try_from(self.random.number(0..20)).expect("small");
            self.servers[&node].disk.arm(disk::Fault::Crash { after });
            self.start(node);
        }
        self.restart_soon(node);
        true
    }

    fn pause_process(&mut self, node: NodeId) -> bool {
        let mean = self.random.one_of(&[millis(300), millis(2000), millis(10_000)]);
        let until = self.now + self.random.time_about(mean);
        let server = self.server(node);
        server.paused_until = server.paused_until.max(until);
        server.running.is_some()
    }

    fn stall(&mut self, node: NodeId) -> bool {
        let most = self.random.one_of(&[millis(500), millis(5000), millis(60_000)]);
        let length = self.random.time(most / 4..most);
        let limit = self.swarm.options.disk_timeout;
        let until = self.now + length;
        let server = self.server(node);
        server.stalled_until = server.stalled_until.max(until);
        let life = server.life;
        if length > limit {
            self.plan(limit, Event::DiskGivenUp { node, life });
        }
        self.servers[&node].running.is_some()
    }

    /// A disk is slow for a while, or all are: they may stand in the same cabinet.
    fn slow_down(&mut self, node: NodeId) -> bool {
        let stalled = self.swarm.stalled();
        let longest = self.random.one_of(&[stalled / 4, stalled / 2, stalled.mul_f64(0.9), millis(8000)]);
        let until = self.now + self.random.time(millis(5000)..millis(40_000));
        let all = self.random.chance(0.4);
        for (id, server) in &mut self.servers {
            if all || *id == node {
                server.slow = Some(SlowDisk { writes: longest / 4..longest, until });
            }
        }
        self.servers[&node].running.is_some()
    }

    /// Cuts links for a while.
    fn cut(&mut self, links: Vec<(End, End)>) -> bool {
        for (from, to) in &links {
            self.network.cut(*from, *to);
            if let (End::Node(from), End::Node(to)) = (*from, *to)
                && self.random.chance(0.3)
            {
                // Its keepalive notices after a while.
                let after = self.random.time(millis(500)..millis(4000));
                let life = self.servers[&from].life;
                self.plan(after, Event::PeerLost { node: from, life, peer: to });
            }
        }
        let mean = self.random.one_of(&[millis(500), millis(3000), millis(10_000)]);
        let after = self.random.time_about(mean);
        self.plan(after, Event::Relief(Relief::Mend(links)));
        true
    }

    fn split(&mut self) -> bool {
        let nodes: Vec<NodeId> = self.members.all().collect();
        let sides: Vec<bool> = nodes.iter().map(|_| self.random.chance(0.5)).collect();
        let mut links = Vec::new();
        for (one, left) in nodes.iter().zip(&sides) {
            for (other, right) in nodes.iter().zip(&sides) {
                if left != right {
                    links.push((End::Node(*one), End::Node(*other)));
                }
            }
        }
        !links.is_empty() && self.cut(links)
    }

    fn one_way(&mut self, node: NodeId) -> bool {
        let hears = self.random.chance(0.5);
        let mut links = Vec::new();
        for other in self.members.all().filter(|other| *other != node) {
            let (own, other) = (End::Node(node), End::Node(other));
            links.push(if hears { (own, other) } else { (other, own) });
        }
        !links.is_empty() && self.cut(links)
    }

    fn partial(&mut self) -> bool {
        let nodes: Vec<NodeId> = self.members.all().collect();
        let (share, both) = (0.1 + 0.6 * self.random.share(), self.random.chance(0.7));
        let mut links = Vec::new();
        for (place, one) in nodes.iter().enumerate() {
            for other in &nodes[place + 1..] {
                if self.random.chance(share) {
                    links.push((End::Node(*one), End::Node(*other)));
                    if both {
                        links.push((End::Node(*other), End::Node(*one)));
                    }
                }
            }
        }
        !links.is_empty() && self.cut(links)
    }

    fn clog(&mut self, node: NodeId) -> bool {
        let other = self.any_node();
        let until = self.now + self.random.time_about(millis(3000));
        if other == node {
            return false;
        }
        self.network.clog(End::Node(node), End::Node(other), until);
        if self.random.chance(0.5) {
            self.network.clog(End::Node(other), End::Node(node), until);
        }
        true
    }

    fn hand_over(&mut self, node: NodeId) -> bool {
        let to = self.random.chance(0.7).then(|| self.any_node());
        let Some(running) = &self.servers[&node].running else { return false };
        let handle = running.parts.handle.clone();
        let mut request = pin!(handle.transfer_leadership(to));
        // Nobody learns the outcome: the caller is gone.
        let _ = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.plan_turn(node);
        true
    }

    /// A node has new URLs, and advertises them to another one, which may lead.
    fn move_away(&mut self, at: NodeId, moved: NodeId) -> bool {
        let port = self.random.number(1000..10_000);
        let member = Member {
            peer_urls: vec![format!("http://n{moved}:{port}")],
            client_urls: vec!["http://clients.example:2379".to_owned(); usize::from(port < 2000)],
            ..Member::named(moved, "")
        };
        let Some(running) = &self.servers[&at].running else { return false };
        let handle = running.parts.handle.clone();
        let mut request = pin!(handle.advertise(member));
        // Nobody waits for the outcome: it shows in the members.
        let _ = request.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.plan_turn(at);
        true
    }

    fn strike_disk(&mut self, fault: Fault, node: NodeId, any: NodeId) -> bool {
        let state = if fault == Fault::BitFlip { 2 } else { 1 };
        let part = self.random.weighted(&[(Part::Log, 2), (Part::Store, 1), (Part::State, state)]);
        let after = u32::try_from(self.random.number(0..12)).expect("small");
        let place = self.random.one_of(&[Place::End, Place::Anywhere, Place::Value]);
        let armed = match fault {
            Fault::CrashInWrite => disk::Fault::Crash { after: after * 3 },
            Fault::WriteError => disk::Fault::WriteError { part, after },
            Fault::FsyncError => disk::Fault::SyncError { part, after },
            Fault::BitFlip => match self.random.number(0..8) {
                0 => disk::Fault::Unreadable { part },
                1 => disk::Fault::LoseWitness,
                _ => disk::Fault::Flip { part, place },
            },
            Fault::Misdirected => disk::Fault::Misdirect { part, after },
            Fault::ReadFlip => disk::Fault::ReadFlip { part, after },
            Fault::DiskFull => return self.fill(node),
            _ => return false,
        };
        let node = if armed.is_damage() { any } else { node };
        let server = &self.servers[&node];
        let struck = server.lost.is_none() && server.disk.arm(armed);
        // What lies on the platter shows at a start; a day of use would write over most of it.
        if struck && fault == Fault::BitFlip && self.random.chance(0.5) {
            self.crash_for(node, false, millis(20)..millis(3000));
        }
        struck
    }

    fn fill(&mut self, node: NodeId) -> bool {
        let room = self.random.number(0..DISK_RESERVE);
        self.servers[&node].disk.leave_room(room);
        let after = self.random.time(millis(500)..millis(15_000));
        self.plan(after, Event::Relief(Relief::Room(node)));
        true
    }

    /// A member loses its directory, and comes back with a new one.
    fn wipe(&mut self, node: NodeId) -> bool {
        let server = self.server(node);
        if !server.brittle || server.lost.is_some() {
            return false;
        }
        self.crash(node, true);
        let server = self.server(node);
        server.disk.wipe();
        server.lost = Some("its directory was emptied; nobody listens to it any more".into());
        let others: Vec<NodeId> = self.members.all().filter(|other| *other != node).collect();
        for other in others {
            self.speak_up(other, node, Stranger::Wiped);
        }
        true
    }

    /// A stranger claims to be `member`.
    fn speak_up(&mut self, to: NodeId, member: NodeId, stranger: Stranger) -> bool {
        if to == member || self.servers[&to].running.is_none() {
            return false;
        }
        if let Err(why) = self.admissions.admit(to, member, stranger) {
            self.note(to, "refuses", &[member.0], || format!("n{member}, {stranger:?}: {why}"));
            return true;
        }
        // It was let in: the core gets the worst message that it could send.
        let term = Term(self.random.number(1..100));
        let (matched, id) = (Index(self.random.number(1..1000)), EntryId::new(term.0, 5000));
        let messages = [
            Message::RequestVote(RequestVote { term, last: id, pre: false, transfer: true }),
            Message::Vote(Vote { term, granted: true, pre: false }),
            Message::Accepted { term, matched },
            Message::Append(Append { term, prev: EntryId::ZERO, entries: Vec::new(), commit: matched }),
            Message::Heartbeat(Heartbeat { term, commit: matched, round: Round(1) }),
        ];
        for message in messages {
            self.deliver(member, to, message, self.now);
        }
        true
    }

    /// A fault ends.
    pub fn relieve(&mut self, relief: Relief) {
        match relief {
            Relief::Mend(links) => {
                self.trace.note(self.now, "restores", &[links.len() as u64], || format!("{links:?}"));
                for (from, to) in &links {
                    self.network.restore(*from, *to);
                }
                if let Some((_, End::Node(node))) = links.first() {
                    self.perhaps_send_stray(*node);
                }
            }
            Relief::Room(node) => {
                self.note(node, "has room", &[], || "again".to_owned());
                self.servers[&node].disk.leave_room(PLENTY);
            }
        }
    }
}

/// More room than any world uses.
pub const PLENTY: u64 = 64 << 20;

/// The name of a fault in the report.
fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Crash => "crash",
        Fault::PowerCut => "power cut of one",
        Fault::LongOutage => "long outage",
        Fault::AllAtOnce => "all at once",
        Fault::RestartStorm => "restart storm",
        Fault::Pause => "pause",
        Fault::Split => "split",
        Fault::OneWay => "one-way partition",
        Fault::Partial => "partial partition",
        Fault::Clog => "clogged link",
        Fault::ClientsCutOff => "clients cut off",
        Fault::DiskStall => "disk stall",
        Fault::SlowDisk => "slow disk",
        Fault::CrashInWrite => "crash in a write, armed",
        Fault::WriteError => "write error, armed",
        Fault::FsyncError => "fsync error, armed",
        Fault::DiskFull => "disk full, armed",
        Fault::BitFlip => "bit flip, armed",
        Fault::Misdirected => "misdirected write, armed",
        Fault::ReadFlip => "bit flip on read, armed",
        Fault::Transfer => "leadership transfer",
        Fault::Moved => "moved node",
        Fault::Foreigner => "foreign node",
        Fault::StraySnapshot => "stray snapshot",
        Fault::Wiped => "wiped member",
        Fault::Cloned => "cloned directory",
    }
}
