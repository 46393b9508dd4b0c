//! The search through all states, by `stateright`.

use crate::model::action::{self, Action};
use crate::model::laws::{self, Sight};
use crate::model::memory::{Memory, Reacted, message_of};
use crate::model::network::{Network, Packet};
use crate::model::scope::{Scope, Start};
use crate::model::server::{Input, Reaction, Rules};
use crate::model::world::{IDS, World};
use crate::raft::words;
use kontiki::types::NodeId;
use rustix::time::{ClockId, clock_gettime};
use stateright::{Checker, HasDiscoveries, Model, Path, Property};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What this process has used of its processors: on a busy machine the clock says little.
fn cpu_seconds() -> i64 {
    clock_gettime(ClockId::ProcessCPUTime).tv_sec
}

/// A scope, to be searched.
pub struct Search {
    scope: Scope,
    memory: Memory,
    /// How many steps showed each sight.
    seen: [AtomicU64; Sight::ALL.len()],
    most_packets: AtomicU64,
}

/// What a search found.
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Whether there are no others.
    pub complete: bool,
    /// A violation, with all that led to it.
    pub violation: Option<String>,
    pub seen: Vec<(Sight, u64)>,
    text: String,
}

impl Search {
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            memory: Memory::new(scope.rules),
            seen: std::array::from_fn(|_| AtomicU64::new(0)),
            most_packets: AtomicU64::new(0),
        }
    }

    /// Visits all states, with this many threads, for no longer than `limit`.
    pub fn run(self, threads: usize, limit: Duration) -> Report {
        let (begun, cpu_begun) = (Instant::now(), cpu_seconds());
        let scope = self.scope;
        let checker = self.checker().threads(threads).timeout(limit).finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_bfs().join();
        let (time, cpu) = (begun.elapsed(), cpu_seconds() - cpu_begun);
        let found = checker.discoveries().into_values().min_by_key(|path| path.clone().into_states().len());
        let search = checker.model();
        let counts = search.seen.iter().map(|count| count.load(Ordering::Relaxed));
        let seen: Vec<_> = Sight::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        let states = checker.unique_state_count();
        let text = format!(
            "{scope}: {states} states, {} transitions, {} steps deep, {:.1} s, {cpu} s of CPU\n  ({} different reactions, at most {} packets; {seen:?})",
            checker.state_count(),
            checker.max_depth(),
            time.as_secs_f64(),
            search.memory.len(),
            search.most_packets.load(Ordering::Relaxed),
        );
        let complete = found.is_none() && time < limit;
        Report { states, complete, violation: found.map(tell), seen, text }
    }

    /// The world after `input` at `id`; `None` if that is nothing.
    fn step(&self, world: &World, Action { at, input, budget }: &Action) -> Option<World> {
        let placed = world.placed(*at);
        let mut next = world.clone();
        match self.memory.react(&placed.server, placed.fingerprint, input) {
            Reacted::Nothing => return None,
            Reacted::Panic(message) => next.broken = Some((laws::STATEMENTS, message)),
            Reacted::Reaction(reaction) => {
                next.carry_out(*at, &reaction);
                let judged = catch_unwind(AssertUnwindSafe(|| next.judge(*at, input, &reaction)));
                let judged =
                    judged.unwrap_or_else(|panic| Err((laws::STATEMENTS, message_of(&*panic).to_string())));
                next.broken = judged.err().map(|(law, message)| (law, message.into()));
                self.look(world, &next, *at, input, &reaction);
            }
        }
        if let Some(budget) = budget {
            self.scope.spend(&mut next.used, *budget);
        }
        next.woken = next.woken.max(at.0);
        Some(next)
    }

    fn look(&self, before: &World, after: &World, id: NodeId, input: &Input, reaction: &Reaction) {
        for (sight, count) in Sight::ALL.into_iter().zip(&self.seen) {
            if sight.is_in(before, after, id, input, reaction) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.most_packets.fetch_max(after.network.len() as u64, Ordering::Relaxed);
    }

    /// Where the scope begins. Until there everything works.
    fn start(&self) -> World {
        let rules = Rules { slow_disks: false, pre_votes: false, heartbeats: true, ..self.scope.rules };
        let calm = Self { memory: Memory::new(rules), ..Self::new(self.scope) };
        let mut world = World::new(rules);
        if self.scope.start == Start::Empty {
            return world;
        }
        calm.force(&mut world, Input::Campaign, &IDS);
        if self.scope.start == Start::Behind {
            calm.force(&mut world, Input::Propose(25), &IDS[..2]);
            // With short tails its memory has forgotten it anyway.
            if !rules.short_tails {
                calm.force(&mut world, Input::Compact, &[]);
            }
            world.network = Network::default();
            calm.force(&mut world, Input::Unreachable(IDS[2]), &[]);
        } else {
            world.network = Network::default();
        }
        // n2 and n3 have done the same, unless one of them missed something.
        world.woken = if self.scope.start == Start::Behind { 3 } else { 1 };
        world
    }

    /// n1 gets the input, and what comes of it arrives, once, among `ids`.
    fn force(&self, world: &mut World, input: Input, ids: &[NodeId]) {
        let old: Vec<Arc<Packet>> = world.network.packets().cloned().collect();
        let mut arrived = old;
        let mut next = Action { at: IDS[0], input, budget: None };
        loop {
            *world = self.step(world, &next).unwrap_or_else(|| world.clone());
            if world.broken.is_some() {
                return; // The search begins, and ends, with a violation.
            }
            let mut packets = world.network.packets().filter(|packet| ids.contains(&packet.to));
            let Some(packet) = packets.find(|packet| !arrived.contains(packet)) else { return };
            arrived.push(Arc::clone(packet));
            next = Action { at: packet.to, input: Input::Packet(Arc::clone(packet)), budget: None };
        }
    }
}

impl Model for Search {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_none() {
            action::list(world, &self.scope, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.step(world, &action)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.servers().all(|server| server.node.hard_state().term.0 <= self.scope.terms)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! laws {
            ($($law:path),+) => {
                vec![$(Property::always($law, |_, world: &World| world.broken.as_ref().is_none_or(|(law, _)| *law != $law))),+]
            };
        }
        laws![
            laws::ELECTION_SAFETY,
            laws::LOG_MATCHING,
            laws::LEADER_COMPLETENESS,
            laws::STATE_MACHINE_SAFETY,
            laws::DURABLE_QUORUM,
            laws::FRESH_READS,
            laws::STATEMENTS
        ]
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&self.text)
    }
}

/// The way to a violation: each action, and what it made of the server.
fn tell(path: Path<World, Action>) -> String {
    let mut text = String::new();
    let mut step = 0;
    let mut pending: Option<Action> = None;
    for (world, action) in path.into_vec() {
        if let Some(action) = pending.take() {
            step += 1;
            let _ = writeln!(
                text,
                "{step:3}. {action:?}\n       {}",
                words::status(&world.server(action.at).node)
            );
        }
        if let Some((law, how)) = &world.broken {
            let _ = write!(text, "{world:?}\nBROKEN after {step} steps: {law}\n  {how}");
        }
        pending = action;
    }
    text
}
