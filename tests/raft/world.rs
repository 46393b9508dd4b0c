//! A small world: real nodes, simulated disks, and a wire that keeps every message until the test decides
//! what becomes of it. It plays the driver's part, and has every step checked.

use crate::raft::checker::Checker;
use crate::raft::disk::{Disk, State};
use crate::raft::words;
use bytes::Bytes;
use kontiki::raft::{
    Effects, HardState, LogRead, Mark, Members, Message, Node, Options, ReadToken, SnapshotMeta, Vote,
};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

/// See the module.
pub struct World {
    pub options: Options,
    pub servers: BTreeMap<NodeId, Server>,
    /// What was sent and has not arrived.
    pub wire: Vec<Packet>,
    /// Links that lose everything, by direction.
    pub cuts: BTreeSet<(NodeId, NodeId)>,
    pub checker: Checker,
    /// Whether to record what happens, and the record.
    pub tells: bool,
    pub transcript: String,
    snapshots: BTreeMap<EntryId, State>,
}

/// One server, running or not.
pub struct Server {
    pub node: Option<Node>,
    pub disk: Disk,
    /// The state in memory. It may be ahead of the one on disk.
    pub state: State,
    /// Whether snapshots that arrive wait until the test lets them be installed.
    pub holds_install: bool,
    /// Whether reads from the log's store wait until the test lets them complete.
    pub holds_reads: bool,
    reading: VecDeque<LogRead>,
    /// What waits, and from whom it came.
    install: Option<(SnapshotMeta, NodeId)>,
    role: String,
    starts: u64,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: NodeId,
    pub to: NodeId,
    pub message: Message,
}

impl World {
    pub fn new(options: Options, voters: u64, learners: u64) -> Self {
        let mut world = Self {
            options,
            servers: BTreeMap::new(),
            wire: Vec::new(),
            cuts: BTreeSet::new(),
            checker: Checker::default(),
            tells: true,
            transcript: String::new(),
            snapshots: BTreeMap::new(),
        };
        let ids = |ids: std::ops::RangeInclusive<u64>| ids.map(NodeId);
        let members = Members::of(ids(1..=voters), [], ids(voters + 1..=voters + learners));
        for id in members.all() {
            let state = State { members: members.clone(), ..State::default() };
            world.add(id, Disk::new(HardState::default(), Vec::new(), state));
        }
        world
    }

    /// A server that starts with this disk.
    pub fn add(&mut self, id: NodeId, disk: Disk) {
        self.checker.assume(&disk);
        let server = Server {
            node: None,
            state: disk.state.clone(),
            disk,
            holds_install: false,
            holds_reads: false,
            reading: VecDeque::new(),
            install: None,
            role: String::new(),
            starts: 0,
        };
        self.servers.insert(id, server);
        let tells = std::mem::replace(&mut self.tells, false);
        self.restart(id);
        self.tells = tells;
    }

    pub fn server(&mut self, id: NodeId) -> &mut Server {
        self.servers.get_mut(&id).expect("a server of this world")
    }

    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.servers.get(&id)?.node.as_ref()
    }

    /// The running nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.servers.values().filter_map(|server| server.node.as_ref())
    }

    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.tells {
            let _ = writeln!(self.transcript, "{}", text());
        }
    }

    /// Gives the node an input and carries out its effects. Nothing happens if the node is down.
    pub fn act<T>(&mut self, id: NodeId, input: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let answer = input(self.server(id).node.as_mut()?);
        self.settle(id);
        Some(answer)
    }

    /// Takes effects until there are none.
    fn settle(&mut self, id: NodeId) {
        loop {
            let server = self.server(id);
            let Some(node) = &mut server.node else { return };
            let effects = node.take_effects();
            let role = words::role(node);
            if server.role != role {
                server.role.clone_from(&role);
                self.tell(|| format!("n{id} {role}"));
            }
            self.check(id);
            let idle = effects == Effects::default();
            if idle && !self.finish_writes(id) && !self.store_all(id) && !self.finish_reads(id) {
                return;
            }
            self.carry_out(id, effects);
        }
    }

    fn check(&mut self, id: NodeId) {
        let Self { servers, checker, .. } = self;
        let Some(node) = &servers[&id].node else { return };
        checker.observe(node, |id| &servers[&id].disk);
        for other in servers.values().filter_map(|server| server.node.as_ref()) {
            checker.compare(node, other);
        }
    }

    fn carry_out(&mut self, id: NodeId, effects: Effects) {
        let Effects { persist, messages, committed, reads, install, send_snapshots, read_log } = effects;
        for (to, message) in messages {
            self.send(id, to, message);
        }
        if let Some(persist) = persist {
            self.tell(|| format!("n{id} writes #{}: {}", persist.mark.0, words::persist(&persist)));
            self.server(id).disk.write(persist);
        }
        for entry in committed {
            self.tell(|| format!("n{id} applies {}", words::entry(&entry)));
            self.server(id).state.apply(&entry);
            self.checker.applied(id, &self.servers[&id].state);
        }
        for outcome in reads {
            self.tell(|| format!("n{id} answers a read: {outcome:?}"));
            self.checker.read_ends(&outcome);
        }
        if let Some(meta) = install {
            self.tell(|| format!("n{id} is to install the snapshot of {}", meta.last));
            let server = self.server(id);
            let from = server.node.as_ref().and_then(Node::leader).expect("who sent it leads");
            server.install = Some((meta, from));
            if !server.holds_install {
                self.install(id);
            }
        }
        for peer in send_snapshots {
            self.send_snapshot(id, peer);
        }
        for read in read_log {
            self.tell(|| format!("n{id} reads its log from {} on for n{}", read.from, read.to));
            self.server(id).reading.push_back(read);
        }
    }

    /// Sends the state as it is now to a peer.
    pub fn send_snapshot(&mut self, from: NodeId, to: NodeId) {
        let server = self.server(from);
        let state = server.state.clone();
        let Some(node) = &server.node else { return };
        let term = node.hard_state().term;
        let meta = SnapshotMeta { last: state.applied, members: state.members.clone() };
        self.snapshots.insert(meta.last, state);
        self.send(from, to, Message::InstallSnapshot { term, meta });
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let disk = &self.servers[&from].disk;
        self.checker.sent(from, &message, disk);
        if let Message::Vote(Vote { pre: false, granted: true, term }) = message {
            self.checker.voted(from, term, to, disk);
        }
        let is_cut = self.cuts.contains(&(from, to));
        let end = if is_cut { " (lost)" } else { "" };
        self.tell(|| format!("n{from} → n{to} {}{end}", words::message(&message)));
        let packet = Packet { from, to, message };
        if is_cut {
            self.lost(&packet);
        } else {
            self.wire.push(packet);
        }
    }

    /// Puts a packet through: it arrives, unless the link is cut or the target is down.
    pub fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, message } = packet.clone();
        let is_up = self.servers.get(&to).is_some_and(|server| server.node.is_some());
        if self.cuts.contains(&(from, to)) || !is_up {
            self.tell(|| format!("n{from} → n{to} {} is lost", words::message(&packet.message)));
            return self.lost(&packet);
        }
        let snapshot = match &message {
            Message::InstallSnapshot { meta, .. } => Some(meta.clone()),
            _ => None,
        };
        self.act(to, |node| node.step(from, message));
        let Some(snapshot) = snapshot else { return };
        match &self.servers[&to].install {
            // Its sender hears of it when it is done.
            Some(waiting) if *waiting == (snapshot.clone(), from) => {}
            Some(_) => self.snapshot_ended(from, to, None),
            None => self.snapshot_ended(from, to, Some(snapshot.last.index)),
        }
    }

    /// A sender of a snapshot learns that its stream broke; other senders learn nothing.
    pub fn lost(&mut self, packet: &Packet) {
        if matches!(packet.message, Message::InstallSnapshot { .. }) {
            self.snapshot_ended(packet.from, packet.to, None);
        }
    }

    fn snapshot_ended(&mut self, sender: NodeId, to: NodeId, applied: Option<Index>) {
        if self.servers.contains_key(&sender) {
            self.act(sender, |node| node.snapshot_sent(to, applied));
        }
    }

    pub fn is_installing(&self, id: NodeId) -> bool {
        self.servers[&id].install.is_some()
    }

    /// Replaces the state by the snapshot that waits, durably.
    pub fn install(&mut self, id: NodeId) {
        let Some((meta, from)) = self.replace_state(id) else { return };
        self.server(id).install = None;
        self.act(id, |node| node.snapshot_installed(&meta));
        self.snapshot_ended(from, id, Some(meta.last.index));
    }

    /// The first half of it: the node has not heard of it yet.
    pub fn replace_state(&mut self, id: NodeId) -> Option<(SnapshotMeta, NodeId)> {
        let (meta, from) = self.server(id).install.clone()?;
        let state = self.snapshots[&meta.last].clone();
        assert!(state.applied >= self.servers[&id].state.applied, "a snapshot set the state back");
        self.tell(|| format!("n{id} has installed {}", meta.last));
        let server = self.server(id);
        server.state = state.clone();
        server.disk.state = state;
        self.checker.applied(id, &self.servers[&id].state);
        Some((meta, from))
    }

    /// Finishes what an unhindered disk has to do. True if that was news to the node.
    fn finish_writes(&mut self, id: NodeId) -> bool {
        let mut news = false;
        while !self.server(id).disk.held && !self.server(id).disk.is_idle() {
            news |= self.finish_one_write(id, false);
        }
        news
    }

    /// The disk finishes one job.
    pub fn finish_write(&mut self, id: NodeId) {
        if self.finish_one_write(id, true) {
            self.settle(id);
        }
    }

    fn finish_one_write(&mut self, id: NodeId, tells: bool) -> bool {
        let Some(mark) = self.server(id).disk.finish_one() else { return false };
        if tells {
            self.tell(|| format!("n{id} wrote #{}", mark.0));
        }
        if let Some(node) = &mut self.server(id).node {
            node.persisted(mark);
        }
        true
    }

    /// An unhindered store takes over what is durable. True if that was news to the node.
    fn store_all(&mut self, id: NodeId) -> bool {
        let mut news = false;
        while !self.server(id).disk.store.held && !self.server(id).disk.store.is_idle() {
            news |= self.store_one(id);
        }
        news
    }

    /// The store takes over one job, and what comes of it.
    pub fn step_store(&mut self, id: NodeId) {
        if self.store_one(id) {
            self.settle(id);
        }
    }

    fn store_one(&mut self, id: NodeId) -> bool {
        let server = self.server(id);
        let Some((mark, last)) = server.disk.store.take_over_one() else { return false };
        if let Some(node) = &mut server.node {
            node.stored(mark, last);
        }
        true
    }

    /// The store takes over all that it can, from now on at once.
    pub fn release_store(&mut self, id: NodeId) {
        self.server(id).disk.store.held = false;
        self.settle(id);
    }

    /// Unhindered reads of the log come back. True if there were any.
    fn finish_reads(&mut self, id: NodeId) -> bool {
        let mut news = false;
        while !self.server(id).holds_reads && self.finish_read(id) {
            news = true;
        }
        news
    }

    /// The oldest read of the log comes back, with what the store holds now.
    fn finish_read(&mut self, id: NodeId) -> bool {
        let server = self.server(id);
        let Some(read) = server.reading.pop_front() else { return false };
        let slice = server.disk.store.log.read(&read);
        self.tell(|| format!("n{id} has read {} for n{}", words::slice(slice.as_ref()), read.to));
        if let Some(node) = &mut self.server(id).node {
            node.log_read(read, slice);
        }
        true
    }

    /// The oldest comes back, and what comes of it.
    pub fn answer_read(&mut self, id: NodeId) {
        if self.finish_read(id) {
            self.settle(id);
        }
    }

    /// All of them come back, from now on at once.
    pub fn release_reads(&mut self, id: NodeId) {
        self.server(id).holds_reads = false;
        self.settle(id);
    }

    pub fn hold_disk(&mut self, id: NodeId) {
        self.server(id).disk.held = true;
    }

    pub fn release_disk(&mut self, id: NodeId) {
        while !self.server(id).disk.is_idle() {
            self.finish_write(id);
        }
        self.server(id).disk.held = false;
    }

    /// The state in memory becomes durable.
    pub fn save(&mut self, id: NodeId) {
        let server = self.server(id);
        server.disk.state = server.state.clone();
    }

    /// Forgets the log up to `through`, or all that the durable state covers.
    pub fn compact(&mut self, id: NodeId, through: Option<Index>) {
        let durable = self.servers[&id].disk.state.applied.index;
        let through = through.unwrap_or(durable);
        assert!(through <= durable, "only what the durable state covers may go");
        let is_news = self.node(id).is_some_and(|node| node.compacted() < through);
        if is_news {
            self.act(id, |node| node.compact(through));
            self.server(id).disk.forget(through);
            self.settle(id);
        }
    }

    /// The process ends at once; writes that were not finished are lost.
    pub fn crash(&mut self, id: NodeId) {
        let server = self.server(id);
        server.node = None;
        server.role.clear();
        server.disk.lose_jobs();
        server.reading.clear();
        if let Some((_, from)) = self.server(id).install.take() {
            self.snapshot_ended(from, id, None);
        }
    }

    pub fn restart(&mut self, id: NodeId) {
        let options = self.options.clone();
        let server = self.server(id);
        assert!(server.node.is_none(), "n{id} runs");
        server.starts += 1;
        server.state = server.disk.state.clone();
        let seed = id.0 * 1000 + server.starts;
        let mut node = Node::new(id, options, seed, server.disk.restored());
        if server.disk.store.is_idle() {
            node.stored(Mark::RESTORED, server.disk.last().index);
        }
        server.node = Some(node);
        self.checker.started(id);
        self.settle(id);
    }

    pub fn propose(&mut self, id: NodeId, commands: Vec<Bytes>) -> Result<EntryId, String> {
        let answer = self.act(id, |node| node.propose(commands)).ok_or("it is down")?;
        answer.map_err(|error| error.to_string())
    }

    pub fn propose_members(&mut self, id: NodeId, members: Members) -> Result<EntryId, String> {
        let answer = self.act(id, |node| node.propose_members(members)).ok_or("it is down")?;
        answer.map_err(|error| error.to_string())
    }

    pub fn read(&mut self, id: NodeId, token: ReadToken) -> Result<(), String> {
        self.checker.read_begins(token);
        let answer = self.act(id, |node| node.read(token)).ok_or("it is down")?;
        answer.map_err(|error| error.to_string())
    }

    /// The leader of the highest term among the running nodes.
    pub fn leader(&self) -> Option<(NodeId, Term)> {
        let leaders = self.nodes().filter(|node| node.leader() == Some(node.id()));
        leaders.map(|node| (node.hard_state().term, node.id())).max().map(|(term, id)| (id, term))
    }
}
