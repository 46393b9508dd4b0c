//! The language of the scripts. Each command acts on a [`World`]; its output has a line for each effect.

use crate::raft::disk::{Disk, State};
use crate::raft::words;
use crate::raft::world::{Packet, World};
use bytes::Bytes;
use kontiki::raft::{
    Append, Entry, HardState, Heartbeat, Members, Message, Node, Options, Payload, ReadToken, RequestVote,
    Round, Vote,
};
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A node, written `n1`.
#[derive(Clone, Copy)]
struct Id(NodeId);

/// Several, written `n1/n2`.
#[derive(Clone, Default)]
struct Ids(Vec<NodeId>);

/// An entry's name, written `index@term`.
#[derive(Clone, Copy)]
struct At(EntryId);

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix('n').and_then(|number| number.parse().ok());
        number.map(|number| Self(NodeId(number))).ok_or(format!("'{text}' is not a node"))
    }
}

impl FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split('/').map(|id| Ok(id.parse::<Id>()?.0)).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (index, term) = text.split_once('@').ok_or("an entry is index@term")?;
        let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        Ok(Self(EntryId::new(number(term)?, number(index)?)))
    }
}

/// Which messages a command means.
#[derive(Clone, Default)]
struct Which {
    kind: Option<String>,
    from: Option<NodeId>,
    to: Option<NodeId>,
    count: Option<usize>,
}

impl Which {
    fn of(kind: &Option<String>, from: &Option<Id>, to: &Option<Id>, count: &Option<usize>) -> Self {
        let id = |id: &Option<Id>| id.map(|id| id.0);
        Self { kind: kind.clone(), from: id(from), to: id(to), count: *count }
    }

    fn fits(&self, packet: &Packet) -> bool {
        self.kind.as_ref().is_none_or(|kind| words::kind(&packet.message) == kind)
            && self.from.is_none_or(|from| packet.from == from)
            && self.to.is_none_or(|to| packet.to == to)
    }

    /// Takes the chosen ones out of `wire`, in their order.
    fn take(&self, wire: &mut Vec<Packet>) -> Vec<Packet> {
        let mut left = self.count.unwrap_or(usize::MAX);
        wire.extract_if(.., |packet| {
            let taken = left > 0 && self.fits(packet);
            left -= usize::from(taken);
            taken
        })
        .collect()
    }
}

#[derive(goldenscript::Command)]
enum Command {
    /// cluster 3 — a new world with this many voters, and options.
    Cluster {
        voters: u64,
        #[arg(key, optional)]
        learners: u64,
        /// The most appends in flight to one follower.
        #[arg(key)]
        appends: Option<usize>,
        /// The most bytes in flight to one follower.
        #[arg(key)]
        bytes: Option<usize>,
        /// The most entries in one append.
        #[arg(key)]
        entries: Option<usize>,
        /// The most entries in a log's tail.
        #[arg(key)]
        tail: Option<usize>,
        /// How many entries stay in memory when the log's store has them.
        #[arg(key)]
        memory: Option<usize>,
        /// The most reads that may wait.
        #[arg(key)]
        reads: Option<usize>,
        /// Whether a new commit index is sent at once.
        #[arg(key)]
        commit_at_once: Option<bool>,
    },
    /// server n1 log=1/1/2 term=3 — the server begins with entries of these terms.
    Server {
        id: Id,
        #[arg(key)]
        log: Option<String>,
        #[arg(key)]
        term: Option<u64>,
        #[arg(key)]
        vote: Option<Id>,
        #[arg(key, optional)]
        applied: usize,
    },
    /// tick n1 10 — time passes on one server; on all of them with `tick all 10`.
    Tick { who: String, count: u32 },
    /// run 20 — time passes everywhere and everything arrives.
    Run { count: u32 },
    /// campaign n1 — time passes on n1 until it asks for an election.
    Campaign { id: Id },
    /// elect n1 — n1 is made the leader, and all messages arrive.
    Elect { id: Id },
    /// deliver Append to=n2 — these messages arrive, of those under way now.
    Deliver {
        kind: Option<String>,
        #[arg(key)]
        from: Option<Id>,
        #[arg(key)]
        to: Option<Id>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// drop Vote from=n3 — these are lost.
    Drop {
        kind: Option<String>,
        #[arg(key)]
        from: Option<Id>,
        #[arg(key)]
        to: Option<Id>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// duplicate Append — these are under way twice.
    Duplicate {
        kind: Option<String>,
        #[arg(key)]
        from: Option<Id>,
        #[arg(key)]
        to: Option<Id>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// hold old Append — these are kept back under a name, until `release old`.
    Hold {
        name: String,
        kind: Option<String>,
        #[arg(key)]
        from: Option<Id>,
        #[arg(key)]
        to: Option<Id>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// release old — they arrive now.
    Release { name: String },
    /// reverse — what is under way overtakes each other.
    Reverse,
    /// wire — what is under way.
    Wire,
    /// stabilize — everything arrives, and what comes of it, until it is quiet.
    Stabilize,
    /// partition n1 n2/n3 — the groups cannot reach each other.
    Partition { groups: Vec<Ids> },
    /// cut n1 n2 — what n1 sends to n2 is lost.
    Cut { from: Id, to: Id },
    /// heal — all links work again.
    Heal,
    /// store n1 hold, step, release — the log's store lags behind; it takes over the oldest write; all, from now on.
    Store { id: Id, what: String },
    /// logreads n1 hold, step, release — what is read from the store waits; the oldest comes; all do, from now on.
    Logreads { id: Id, what: String },
    /// crash n1 — it ends at once, without what its disk has not finished.
    Crash { id: Id },
    /// restart n1 — it starts from its disk.
    Restart { id: Id },
    /// disk n1 hold, step, release — writes wait; the oldest ends; all do, from now on.
    /// disk n1 full, roomy — it has no room for entries; it has again.
    Disk { id: Id, what: String },
    /// propose n1 a b — commands, as one batch; `count=9` makes c1 to c9.
    Propose {
        id: Id,
        #[arg(optional)]
        commands: Vec<String>,
        #[arg(key)]
        count: Option<u64>,
        #[arg(key)]
        size: Option<usize>,
    },
    /// members n1 voters=n1/n2 — proposes members.
    Members {
        id: Id,
        #[arg(key)]
        voters: Ids,
        #[arg(key, optional)]
        outgoing: Ids,
        #[arg(key, optional)]
        learners: Ids,
    },
    /// read n1 7 — asks for a read under this number.
    Read { id: Id, token: u64 },
    /// transfer n1 n2 — hands leadership over.
    Transfer { from: Id, to: Id },
    /// unreachable n1 n2 — n1 learns that its connection to n2 broke.
    Unreachable { id: Id, peer: Id },
    /// compact n1 — the state becomes durable and the log is compacted.
    Compact { id: Id, through: Option<u64> },
    /// install n1 hold, state, now — snapshots wait; the state is replaced; all of it is done.
    Install { id: Id, what: String },
    /// snapshot n1 n2 — n1 sends its state to n2 without being asked.
    Snapshot { from: Id, to: Id },
    /// say TimeoutNow from=n9 to=n1 term=3 — a message that nobody sent.
    Say {
        kind: String,
        #[arg(key)]
        from: Id,
        #[arg(key)]
        to: Id,
        #[arg(key)]
        term: u64,
        #[arg(key)]
        at: Option<At>,
        /// Terms of entries behind `at`.
        #[arg(key)]
        entries: Option<String>,
        #[arg(key, optional)]
        number: u64,
        #[arg(key, optional)]
        yes: bool,
    },
    /// status — a line per server.
    Status,
    /// logs — the entries of each server, with what is known to be committed before the bar.
    Logs,
}

struct Runner {
    world: World,
    held: BTreeMap<String, Vec<Packet>>,
    /// Whether worlds have production's setting for the commit index, where a script does not say. Then some messages
    /// that a script names are not sent.
    like_production: bool,
}

impl Runner {
    fn new(like_production: bool) -> Self {
        let world = World::new(options(like_production), 3, 0);
        Self { world, held: BTreeMap::new(), like_production }
    }

    fn take(&mut self, which: &Which) -> Result<Vec<Packet>, Box<dyn Error>> {
        let packets = which.take(&mut self.world.wire);
        if packets.is_empty() && !self.like_production {
            Err("no such message is under way".into())
        } else {
            Ok(packets)
        }
    }

    fn stabilize(&mut self) -> Result<(), Box<dyn Error>> {
        for _ in 0..1000 {
            if self.world.wire.is_empty() {
                return Ok(());
            }
            self.arrive_all();
        }
        Err("it never becomes quiet".into())
    }

    fn arrive_all(&mut self) {
        for packet in std::mem::take(&mut self.world.wire) {
            self.world.arrive(packet);
        }
    }

    fn campaign(&mut self, id: NodeId) -> Result<(), Box<dyn Error>> {
        let asks = |world: &World| {
            let node = world.node(id)?;
            Some((node.role(), node.hard_state().term, world.wire.len()))
        };
        let before = asks(&self.world).ok_or("it is down")?;
        // After candidacies that failed, the timer runs for up to eight times as long.
        for _ in 0..16 * self.world.options.election_ticks_max {
            self.world.act(id, Node::tick);
            if asks(&self.world) != Some(before) {
                return Ok(());
            }
        }
        Err("it never stands".into())
    }

    fn elect(&mut self, id: NodeId) -> Result<(), Box<dyn Error>> {
        // The others do not believe in their leader any more.
        let others: Vec<(NodeId, NodeId)> =
            self.world.nodes().filter_map(|node| Some((node.id(), node.leader()?))).collect();
        for (other, leader) in others.into_iter().filter(|(other, _)| *other != id) {
            self.world.act(other, |node| node.unreachable(leader));
        }
        // The first attempts may only teach it the term.
        for _ in 0..3 {
            self.campaign(id)?;
            self.stabilize()?;
            if self.world.leader().is_some_and(|(leader, _)| leader == id) {
                break;
            }
        }
        match self.world.leader() {
            Some((leader, _)) if leader == id => Ok(()),
            leader => Err(format!("the leader is {leader:?}").into()),
        }
    }

    fn tick(&mut self, who: &str, count: u32) -> Result<(), Box<dyn Error>> {
        let all: Vec<NodeId> = self.world.servers.keys().copied().collect();
        let who = if who == "all" { all } else { who.parse::<Ids>()?.0 };
        for _ in 0..count {
            for id in &who {
                self.world.act(*id, Node::tick);
            }
        }
        Ok(())
    }

    fn partition(&mut self, groups: &[Ids]) {
        for (number, group) in groups.iter().enumerate() {
            let others = groups.iter().enumerate().filter(|(other, _)| *other != number);
            for other in others.flat_map(|(_, other)| &other.0) {
                self.world.cuts.extend(group.0.iter().map(|id| (*id, *other)));
            }
        }
    }

    fn status(&mut self) {
        let line = |(id, server): (&NodeId, &crate::raft::world::Server)| match &server.node {
            Some(node) => words::status(node),
            None => format!("n{id} is down, log on disk {} to {}", server.disk.log.base, server.disk.last()),
        };
        let lines: Vec<String> = self.world.servers.iter().map(line).collect();
        self.world.transcript += &(lines.join("\n") + "\n");
    }

    fn logs(&mut self) {
        let nodes: Vec<_> = self.world.nodes().cloned().collect();
        for node in nodes {
            let mut line = format!("n{} ", node.id());
            for index in node.base().index.0..=node.last().index.0 {
                let term = node.term_at(Index(index)).expect("between base and last");
                line += &format!(" {}", EntryId { term, index: Index(index) });
                line += if Index(index) == node.commit() { " |" } else { "" };
            }
            self.world.transcript += &(line + "\n");
        }
    }
}

/// Short times, so that scripts are short.
fn options(like_production: bool) -> Options {
    Options {
        heartbeat_ticks: 2,
        election_ticks_min: 10,
        election_ticks_max: 20,
        disk_stall_ticks: 40,
        // Scripts that are about something else need no tick for it.
        commit_at_once: !like_production,
        ..Options::default()
    }
}

/// Entries of the given terms, after `prev`. An entry's content follows from its id.
fn entries_behind(prev: EntryId, terms: &str) -> Result<Vec<Entry>, Box<dyn Error>> {
    let terms = terms.split('/').filter(|term| !term.is_empty());
    let terms: Vec<u64> = terms.map(str::parse).collect::<Result<_, _>>()?;
    let entry = |(index, term): (u64, u64)| {
        let id = EntryId::new(term, index);
        Entry { id, payload: Payload::Command(Bytes::from(format!("c{index}.{term}"))) }
    };
    Ok((prev.index.0 + 1..).zip(terms).map(entry).collect())
}

fn commands(list: &[String], count: Option<u64>, size: Option<usize>) -> Vec<Bytes> {
    let named = list.iter().cloned();
    let counted = (1..=count.unwrap_or(0)).map(|number| format!("c{number}"));
    let command = |name: String| {
        let width = size.unwrap_or(0);
        Bytes::from(format!("{name:_<width$}"))
    };
    named.chain(counted).map(command).collect()
}

fn set(ids: &Ids) -> BTreeSet<NodeId> {
    ids.0.iter().copied().collect()
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        self.carry_out(command)?;
        Ok(std::mem::take(&mut self.world.transcript))
    }
}

impl Runner {
    fn carry_out(&mut self, command: &Command) -> Result<(), Box<dyn Error>> {
        match command {
            Command::Cluster {
                voters,
                learners,
                appends,
                bytes,
                entries,
                tail,
                memory,
                reads,
                commit_at_once,
            } => {
                let mut options = options(self.like_production);
                options.inflight_appends_max = appends.unwrap_or(options.inflight_appends_max);
                options.inflight_bytes_max = bytes.unwrap_or(options.inflight_bytes_max);
                options.append_entries_max = entries.unwrap_or(options.append_entries_max);
                options.tail_entries_max = tail.unwrap_or(options.tail_entries_max);
                options.tail_entries = memory.unwrap_or(options.tail_entries);
                options.reads_max = reads.unwrap_or(options.reads_max);
                options.commit_at_once = commit_at_once.unwrap_or(options.commit_at_once);
                self.world = World::new(options, *voters, *learners);
                for server in self.world.servers.values_mut() {
                    server.disk.loads_little = memory.is_some();
                }
                self.held.clear();
            }
            Command::Server { id, log, term, vote, applied } => {
                let members = self.world.servers[&id.0].state.members.clone();
                let entries = entries_behind(EntryId::ZERO, log.as_deref().unwrap_or_default())?;
                let mut state = State { members, ..State::default() };
                entries.iter().take(*applied).for_each(|entry| state.apply(entry));
                let newest = entries.last().map_or(0, |entry| entry.id.term.0);
                let hard_state =
                    HardState { term: Term(term.unwrap_or(newest)), vote: vote.map(|vote| vote.0) };
                self.world.add(id.0, Disk::new(hard_state, entries, state));
            }
            Command::Tick { who, count } => self.tick(who, *count)?,
            Command::Run { count } => {
                for _ in 0..*count {
                    self.tick("all", 1)?;
                    self.stabilize()?;
                }
            }
            Command::Campaign { id } => self.campaign(id.0)?,
            Command::Elect { id } => self.elect(id.0)?,
            Command::Disk { id, what } => match what.as_str() {
                "hold" => self.world.hold_disk(id.0),
                "step" => self.world.finish_write(id.0),
                "release" => self.world.release_disk(id.0),
                "full" | "roomy" => drop(self.world.act(id.0, |node| node.set_full(what == "full"))),
                other => return Err(format!("a disk cannot '{other}'").into()),
            },
            Command::Store { id, what } => match what.as_str() {
                "hold" => self.world.server(id.0).disk.store.held = true,
                "step" => self.world.step_store(id.0),
                "release" => self.world.release_store(id.0),
                other => return Err(format!("a store cannot '{other}'").into()),
            },
            Command::Logreads { id, what } => match what.as_str() {
                "hold" => self.world.server(id.0).holds_reads = true,
                "step" => self.world.answer_read(id.0),
                "release" => self.world.release_reads(id.0),
                other => return Err(format!("reads of the log cannot '{other}'").into()),
            },
            Command::Crash { id } => self.world.crash(id.0),
            Command::Restart { id } => self.world.restart(id.0),
            Command::Compact { id, through } => {
                self.world.save(id.0);
                self.world.compact(id.0, through.map(Index));
            }
            Command::Install { id, what } => match what.as_str() {
                "hold" => self.world.server(id.0).holds_install = true,
                "state" => drop(self.world.replace_state(id.0)),
                "now" => self.world.install(id.0),
                other => return Err(format!("an install cannot '{other}'").into()),
            },
            Command::Snapshot { from, to } => self.world.send_snapshot(from.0, to.0),
            Command::Status => self.status(),
            Command::Logs => self.logs(),
            _ => return self.ask(command).and_then(|done| if done { Ok(()) } else { self.network(command) }),
        }
        Ok(())
    }

    /// What clients and administrators ask for. False if it is something else.
    fn ask(&mut self, command: &Command) -> Result<bool, Box<dyn Error>> {
        match command {
            Command::Propose { id, commands: list, count, size } => {
                self.world.propose(id.0, commands(list, *count, *size))?;
            }
            Command::Members { id, voters, outgoing, learners } => {
                let members = Members::of(set(voters), set(outgoing), set(learners));
                self.world.propose_members(id.0, members)?;
            }
            Command::Read { id, token } => self.world.read(id.0, ReadToken(*token))?,
            Command::Transfer { from, to } => {
                let answer = self.world.act(from.0, |node| node.transfer_leadership(to.0));
                answer.ok_or("it is down")??;
            }
            Command::Unreachable { id, peer } => {
                self.world.act(id.0, |node| node.unreachable(peer.0)).ok_or("it is down")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn network(&mut self, command: &Command) -> Result<(), Box<dyn Error>> {
        match command {
            Command::Deliver { kind, from, to, count } => {
                for packet in self.take(&Which::of(kind, from, to, count))? {
                    self.world.arrive(packet);
                }
            }
            Command::Drop { kind, from, to, count } => {
                let which = Which::of(kind, from, to, count);
                // A bare `drop` clears the wire, which may be empty.
                let lost = if kind.is_none() { which.take(&mut self.world.wire) } else { self.take(&which)? };
                lost.iter().for_each(|packet| self.world.lost(packet));
            }
            Command::Duplicate { kind, from, to, count } => {
                let packets = self.take(&Which::of(kind, from, to, count))?;
                let twice = packets.into_iter().flat_map(|packet| [packet.clone(), packet]);
                self.world.wire.extend(twice);
            }
            Command::Hold { name, kind, from, to, count } => {
                let packets = self.take(&Which::of(kind, from, to, count))?;
                self.held.entry(name.clone()).or_default().extend(packets);
            }
            Command::Release { name } => {
                for packet in self.held.remove(name).ok_or("nothing is held under this name")? {
                    self.world.arrive(packet);
                }
            }
            Command::Reverse => self.world.wire.reverse(),
            Command::Wire => {
                let line = |packet: &Packet| {
                    format!("n{} → n{} {}\n", packet.from, packet.to, words::message(&packet.message))
                };
                let lines: String = self.world.wire.iter().map(line).collect();
                self.world.transcript += &lines;
            }
            Command::Stabilize => self.stabilize()?,
            Command::Partition { groups } => self.partition(groups),
            Command::Cut { from, to } => drop(self.world.cuts.insert((from.0, to.0))),
            Command::Heal => self.world.cuts.clear(),
            Command::Say { .. } => {
                let packet = said(command)?;
                self.world.arrive(packet);
            }
            _ => unreachable!("carried out above"),
        }
        Ok(())
    }
}

/// A message made by hand.
fn said(command: &Command) -> Result<Packet, Box<dyn Error>> {
    let Command::Say { kind, from, to, term, at, entries, number, yes } = command else {
        unreachable!("only called for it")
    };
    let term = Term(*term);
    let at = at.map_or(EntryId::ZERO, |at| at.0);
    let (granted, commit) = (*yes, Index(*number));
    let message = match kind.as_str() {
        "Append" => {
            let entries = entries_behind(at, entries.as_deref().unwrap_or_default())?;
            Message::Append(Append { term, prev: at, entries, commit })
        }
        "Heartbeat" => Message::Heartbeat(Heartbeat { term, commit, round: Round(0) }),
        "HeartbeatAck" => {
            Message::HeartbeatAck { term, round: Round(*number), received: at.index, full: false }
        }
        "Accepted" => Message::Accepted { term, matched: commit },
        "Rejected" => Message::Rejected { term, prev: commit, hint: at },
        "RequestVote" => Message::RequestVote(RequestVote { term, last: at, pre: false, transfer: false }),
        "RequestPreVote" => Message::RequestVote(RequestVote { term, last: at, pre: true, transfer: false }),
        "Vote" => Message::Vote(Vote { term, granted, pre: false }),
        "PreVote" => Message::Vote(Vote { term, granted, pre: true }),
        "TimeoutNow" => Message::TimeoutNow { term },
        other => return Err(format!("nobody says '{other}'").into()),
    };
    Ok(Packet { from: from.0, to: to.0, message })
}

/// In production a new commit index waits for the next message. The scripts show their rules without that wait; with it
/// other messages are sent, and what the checker demands holds in the same way.
#[test]
fn scripts_break_nothing_with_productions_setting() {
    assert!(!Options::default().commit_at_once, "this is production's setting");
    let mut failed = Vec::new();
    for path in scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raft/scripts")) {
        let text = std::fs::read_to_string(&path).expect("readable");
        let run = std::panic::catch_unwind(|| goldenscript::generate(&mut Runner::new(true), &text));
        match run {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => failed.push(format!("{}: {error}", path.display())),
            Err(_) => failed.push(format!("{}: see above", path.display())),
        }
    }
    assert!(failed.is_empty(), "these scripts failed:\n{}", failed.join("\n"));
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of scripts") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Runs every script, or those whose path contains `KONTIKI_SCRIPT`. After an intended change,
/// `UPDATE_GOLDENFILES=1` writes the new outputs: review them.
#[test]
fn scripts_say_what_they_said() {
    let wanted = std::env::var("KONTIKI_SCRIPT").unwrap_or_default();
    let all = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raft/scripts"));
    assert!(all.len() >= 60, "only {} scripts were found", all.len());
    let mut failed = Vec::new();
    for path in all.into_iter().filter(|path| path.to_string_lossy().contains(&wanted)) {
        let run = std::panic::catch_unwind(|| goldenscript::run(&mut Runner::new(false), &path));
        match run {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed.push(format!("{}: {error}", path.display())),
            Err(_) => failed.push(format!("{}: see above", path.display())),
        }
    }
    assert!(failed.is_empty(), "these scripts failed:\n{}", failed.join("\n"));
}

/// Each script must begin with what it shows.
#[test]
fn scripts_open_with_what_they_show() {
    for path in scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raft/scripts")) {
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.starts_with("# ") && text.lines().next().is_some_and(|line| line.len() > 20));
    }
}
