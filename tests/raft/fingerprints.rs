//! The model checker identifies a node by its fingerprint (`tests/model/`): nodes with equal hashes must
//! react equally to everything, or it would skip states that it has never seen.
//!
//! Many short walks through a small world often come back to a node that was met before. There each input is tried
//! on a copy, and must lead to what it led to the first time.

use crate::raft::world::World;
use bytes::Bytes;
use kontiki::raft::{Effects, Mark, Message, Node, Options, ReadToken, RoleName};
use kontiki::types::NodeId;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

const IDS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const WALKS: u64 = 100;
const STEPS: u32 = 60;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Input {
    Hear(NodeId, Message),
    /// The oldest write is durable.
    Written,
    /// The election timer fires. Its length is random, so it is one step.
    TimeOut,
    /// As leader; for others see `TimeOut`.
    Tick,
    Propose,
    Read(ReadToken),
    Transfer(NodeId),
    Lose(NodeId),
    SnapshotSent(NodeId),
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn fingerprint(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.fingerprint(&mut hasher);
    hasher.finish()
}

fn command() -> [Bytes; 1] {
    [Bytes::from_static(b"x")]
}

/// Lets the node take the input. A refusal is a reaction, too.
fn give(node: &mut Node, input: &Input, mark: Option<Mark>, effects: &mut Vec<Effects>) {
    match input.clone() {
        Input::Hear(from, message) => node.step(from, message),
        Input::Written => node.persisted(mark.expect("something is being written")),
        Input::TimeOut => time_out(node, effects),
        Input::Tick => node.tick(),
        Input::Propose => drop(node.propose(command())),
        Input::Read(token) => drop(node.read(token)),
        Input::Transfer(to) => drop(node.transfer_leadership(to)),
        Input::Lose(peer) => node.unreachable(peer),
        Input::SnapshotSent(peer) => node.snapshot_sent(peer, None),
    }
    effects.push(node.take_effects());
}

fn time_out(node: &mut Node, effects: &mut Vec<Effects>) {
    // After candidacies that failed, the timer runs for up to eight times as long.
    for _ in 0..8 * options().election_ticks_max {
        node.tick();
        effects.push(node.take_effects());
        if effects.last().is_some_and(|effects| !effects.messages.is_empty()) {
            return;
        }
    }
}

/// The reaction to the input, and the node's fingerprint then. Marks are relative to the last one that came
/// back, and the order of messages does not matter.
fn reaction(node: &Node, input: &Input, mark: Option<Mark>) -> u64 {
    let (mut node, mut effects) = (node.clone(), Vec::new());
    give(&mut node, input, mark, &mut effects);
    let mut messages = BTreeSet::new();
    let mut rest = Vec::new();
    for mut effects in effects {
        messages.extend(effects.messages.drain(..).map(hash_of));
        if let Some(persist) = &mut effects.persist {
            persist.mark = Mark(0);
        }
        if effects != Effects::default() {
            rest.push(effects);
        }
    }
    hash_of((messages, rest, fingerprint(&node)))
}

fn options() -> Options {
    Options {
        heartbeat_ticks: 1,
        election_ticks_min: 2,
        election_ticks_max: 3,
        disk_stall_ticks: u32::MAX,
        ..Options::default()
    }
}

/// Reactions by fingerprint and input, and how many were met again.
#[derive(Default)]
struct Known {
    reactions: HashMap<(u64, u64), u64>,
    met_again: u64,
}

impl Known {
    fn compare(&mut self, node: &Node, input: &Input, mark: Option<Mark>) {
        let now = reaction(node, input, mark);
        match self.reactions.insert((fingerprint(node), hash_of(input)), now) {
            None => {}
            Some(before) => {
                self.met_again += 1;
                assert_eq!(
                    before, now,
                    "{input:?} leads elsewhere than from a node that hashed equal: {node:?}"
                );
            }
        }
    }
}

struct Walk<'a> {
    world: World,
    rng: fastrand::Rng,
    reads: u64,
    known: &'a mut Known,
}

impl Walk<'_> {
    fn run(&mut self) {
        for id in IDS {
            self.world.server(id).disk.held = self.rng.u32(..3) > 0;
            self.world.server(id).holds_install = self.rng.bool();
        }
        for _ in 0..STEPS {
            let id = IDS[self.rng.usize(..IDS.len())];
            let inputs = self.inputs(id);
            let mark = self.next_mark(id);
            let node = self.world.node(id).expect("all run");
            for input in &inputs {
                self.known.compare(node, input, mark);
            }
            // Mostly what moves the cluster on.
            let moves = |input: &&Input| matches!(input, Input::Hear(..) | Input::Written);
            let moving: Vec<&Input> = inputs.iter().filter(moves).collect();
            let input = if self.rng.u32(..5) > 0 && !moving.is_empty() {
                moving[self.rng.usize(..moving.len())].clone()
            } else {
                inputs[self.rng.usize(..inputs.len())].clone()
            };
            self.step(id, input);
        }
    }

    fn next_mark(&self, id: NodeId) -> Option<Mark> {
        let mut disk = self.world.servers[&id].disk.clone();
        while !disk.is_idle() {
            let mark = disk.finish_one();
            if mark.is_some() {
                return mark;
            }
        }
        None
    }

    fn inputs(&self, id: NodeId) -> Vec<Input> {
        let node = self.world.node(id).expect("all run");
        let arrive = self.world.wire.iter().filter(|packet| packet.to == id);
        let mut inputs: Vec<Input> =
            arrive.map(|packet| Input::Hear(packet.from, packet.message.clone())).collect();
        inputs.extend(self.next_mark(id).map(|_| Input::Written));
        if node.role() == RoleName::Leader {
            inputs.extend([Input::Tick, Input::Propose, Input::Read(ReadToken(self.reads))]);
        } else if !self.world.is_installing(id) {
            inputs.push(Input::TimeOut);
        }
        for peer in IDS.into_iter().filter(|peer| *peer != id) {
            inputs.extend([Input::Transfer(peer), Input::Lose(peer), Input::SnapshotSent(peer)]);
        }
        inputs
    }

    fn step(&mut self, id: NodeId, input: Input) {
        match input {
            Input::Hear(from, message) => {
                let is_it = |packet: &crate::raft::world::Packet| {
                    packet.from == from && packet.to == id && packet.message == message
                };
                let place = self.world.wire.iter().position(is_it).expect("it is on the wire");
                let packet = self.world.wire.remove(place);
                self.world.arrive(packet);
            }
            Input::Written => self.world.finish_write(id),
            Input::TimeOut => {
                for _ in 0..options().election_ticks_max {
                    self.world.act(id, Node::tick);
                }
            }
            // Now and then the leader forgets what the others may need, or somebody starts over.
            Input::Lose(_) if self.rng.bool() => {
                self.world.save(id);
                self.world.compact(id, None);
            }
            Input::Lose(_) if self.rng.u32(..4) == 0 => {
                self.world.crash(id);
                self.world.restart(id);
            }
            Input::Read(token) => {
                self.reads += 1;
                drop(self.world.read(id, token));
            }
            Input::SnapshotSent(_) if self.world.is_installing(id) => self.world.install(id),
            Input::Tick => drop(self.world.act(id, Node::tick)),
            Input::Propose => drop(self.world.propose(id, command().into())),
            Input::Transfer(to) => drop(self.world.act(id, |node| node.transfer_leadership(to))),
            Input::Lose(peer) => drop(self.world.act(id, |node| node.unreachable(peer))),
            Input::SnapshotSent(peer) => drop(self.world.act(id, |node| node.snapshot_sent(peer, None))),
        }
    }
}

#[test]
fn equal_fingerprints_react_equally() {
    let mut known = Known::default();
    for seed in 0..WALKS {
        let world = World::new(options(), 3, 0);
        let mut walk = Walk { world, rng: fastrand::Rng::with_seed(seed), reads: 0, known: &mut known };
        walk.world.tells = false;
        walk.run();
    }
    println!("{} reactions, {} of them met again", known.reactions.len(), known.met_again);
    assert!(known.met_again > 10_000, "only {} reactions were met again", known.met_again);
}
