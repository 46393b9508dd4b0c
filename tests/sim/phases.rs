//! The phases of a world: faults, then peace, then the final [checks](super::accounts).

use crate::sim::clients::Wish;
use crate::sim::clock::{Time, millis};
use crate::sim::disk::{Fault, Part, SimDisk};
use crate::sim::history;
use crate::sim::nemesis::PLENTY;
use crate::sim::report::count;
use crate::sim::server::SlowDisk;
use crate::sim::swarm::Mode;
use crate::sim::world::{Event, World};
use kontiki::raft::RoleName;
use kontiki::storage::decode_members;
use kontiki::types::NodeId;

/// How many election timeouts it may take until there is a leader again: after candidacies that failed, the first may
/// take eight.
const ELECTIONS: u32 = 20;
/// The same while two writes, the candidate's and a voter's, take up to seven of them.
const SLOW_ELECTIONS: u32 = 100;

impl World {
    /// All of it. A violation panics.
    pub fn run(&mut self, steps_max: Option<u64>) {
        self.begin();
        let end = self.swarm.span;
        while self.now < end && steps_max.is_none_or(|most| self.steps < most) && self.step() {}
        self.heal();
        if self.swarm.mode == Mode::Atlas {
            if self.swarm.slow_election {
                self.demand_slow_election();
            }
            self.demand_liveness();
        } else {
            let rest = self.now + self.swarm.timing.election_max * ELECTIONS;
            self.run_until(rest);
        }
        self.finish_clients();
        self.read_everything();
        if self.swarm.mode == Mode::Atlas {
            self.converge();
        }
        self.close_accounts();
    }

    fn begin(&mut self) {
        for node in self.members.all().collect::<Vec<_>>() {
            let after = self.random.time(Time::ZERO..millis(100));
            self.plan(after, Event::Start { node });
        }
        for client in 0..self.clients.len() {
            let after = self.random.time(Time::ZERO..millis(500));
            self.plan(after, Event::Begin { client });
        }
        let first = self.random.time_about(self.swarm.fault_pause);
        self.plan(first, Event::Strike);
    }

    /// All faults end. What is on its way stays on its way.
    fn heal(&mut self) {
        self.trace.note(self.now, "HEAL", &[], || "all faults end");
        self.faulty = false;
        self.healed = Some(self.now);
        self.network.heal();
        let now = self.now;
        for node in self.members.all().collect::<Vec<_>>() {
            let server = self.server(node);
            server.paused_until = server.paused_until.min(now);
            server.stalled_until = server.stalled_until.min(now);
            self.speed_up(node);
            let server = self.server(node);
            server.disk.leave_room(PLENTY);
            disarm(&server.disk);
            self.start(node);
        }
    }

    /// The nodes that can run, and so must.
    pub fn able(&self) -> Vec<NodeId> {
        self.servers.values().filter(|server| server.lost.is_none()).map(|server| server.id).collect()
    }

    fn leader(&self) -> Option<NodeId> {
        let leads = |id: &NodeId| {
            let running = self.servers[id].running.as_ref();
            running.is_some_and(|running| running.parts.driver.node().role() == RoleName::Leader)
        };
        let mut leaders = self.able().into_iter().filter(leads);
        let leader = leaders.next()?;
        leaders.next().is_none().then_some(leader)
    }

    /// Everybody follows one leader and has applied all that it has.
    fn agrees(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let node = self.servers[&leader].running.as_ref().expect("it leads").parts.driver.node();
        let (term, last) = (node.hard_state().term, node.last());
        self.able().into_iter().all(|id| {
            self.servers[&id].running.as_ref().is_some_and(|running| {
                let node = running.parts.driver.node();
                node.leader() == Some(leader)
                    && node.hard_state().term == term
                    && node.last() == last
                    && running.parts.handle.view().applied() == last
            })
        })
    }

    /// The disk is fast again, and has done what it was doing.
    fn speed_up(&mut self, node: NodeId) {
        let server = self.server(node);
        let Some(slow) = server.slow.take() else { return };
        let life = server.life;
        if slow.until > self.now {
            self.plan(millis(1), Event::Log { node, life });
        }
    }

    /// The leader dies while each write takes longer than an election timeout, and almost as long as one that makes a
    /// disk count as stalled. One of the others is elected all the same.
    fn demand_slow_election(&mut self) {
        let election = self.swarm.timing.election_max;
        let deadline = self.now + election * ELECTIONS + millis(2000);
        self.run_until_true(deadline, |world| world.leader().is_some());
        let Some(leader) = self.leader() else { return }; // Which is what is demanded next.
        let stalled = self.swarm.stalled();
        for server in self.servers.values_mut() {
            server.slow = Some(SlowDisk { writes: stalled / 4..stalled.mul_f64(0.9), until: Time::MAX });
        }
        let outage = self.random.time(millis(20)..millis(3000));
        self.crash(leader, true);
        self.plan(outage, Event::Start { node: leader });
        let began = self.now;
        let found = self.run_until_true(began + election * SLOW_ELECTIONS, |world| world.leader().is_some());
        assert!(found, "no leader {SLOW_ELECTIONS} election timeouts after it died\n{}", self.picture());
        count(&mut self.summary.events, "leaders elected on slow disks", 1);
        let took = (self.now - began).as_nanos() / election.as_nanos();
        self.trace.note(self.now, "elected", &[], || format!("on slow disks, after {took} timeouts"));
        for node in self.members.all().collect::<Vec<_>>() {
            self.speed_up(node);
        }
    }

    fn demand_liveness(&mut self) {
        let election = self.swarm.timing.election_max;
        let deadline = self.now + election * ELECTIONS + millis(2000);
        let found = self.run_until_true(deadline, |world| world.leader().is_some());
        assert!(found, "no leader {ELECTIONS} election timeouts after all faults ended\n{}", self.picture());
        // Clients pause, so that "all" stays the same for a moment.
        self.busy = false;
        self.converge();
        count(&mut self.summary.events, "clusters that recovered", 1);
        self.demand_service();
    }

    fn converge(&mut self) {
        let deadline = self.now + self.swarm.timing.election_max * ELECTIONS + millis(30_000);
        let agreed = self.run_until_true(deadline, Self::agrees);
        assert!(agreed, "the nodes do not converge after all faults ended\n{}", self.picture());
        for node in self.able() {
            let running = self.servers[&node].running.as_ref().expect("it is able");
            let said = decode_members(&running.parts.handle.view().members()).expect("they were written");
            assert_eq!(**running.parts.driver.node().members(), said, "n{node}: in force, and in the state");
        }
    }

    /// Each node that runs is asked for every key, and the answers go into the history: so whatever was
    /// acknowledged and is gone contradicts some read.
    fn read_everything(&mut self) {
        for node in self.able() {
            let before = self.clients.succeeded();
            let keys = self.clients.all_keys();
            self.demand(node, Wish::Read { keys });
            let done = self.clients.succeeded() - before;
            count(&mut self.summary.events, "nodes read from end to end", done);
            // Where damage hits anybody there may be no majority left.
            let must = self.swarm.mode == Mode::Atlas;
            assert!(done == 1 || !must, "n{node} does not answer at the end\n{}", self.picture());
        }
    }

    /// Each node serves a fresh write and a fresh read.
    fn demand_service(&mut self) {
        // Until everybody has seen that there is room on the disk.
        let later = self.now + millis(500);
        self.run_until(later);
        let idle = self.now + millis(20_000);
        let quiet = self.run_until_true(idle, Self::all_clients_idle);
        assert!(quiet, "a client waits forever\n{}", self.picture());
        for node in self.able() {
            let before = self.clients.succeeded();
            let key = history::key(0);
            let value = self.clients.value();
            self.demand(node, Wish::Write { key: key.clone(), value });
            self.demand(node, Wish::Read { keys: vec![key] });
            let done = self.clients.succeeded() - before;
            assert_eq!(done, 2, "n{node} does not serve after all faults ended\n{}", self.picture());
        }
    }

    fn demand(&mut self, node: NodeId, wish: Wish) {
        let patience = millis(10_000);
        let next = self.clients.ask(self.now, 0, wish, node, patience);
        self.follow(0, next);
        let deadline = self.now + patience + millis(1000);
        self.run_until_true(deadline, |world| !world.clients.is_busy(0));
    }

    fn all_clients_idle(&self) -> bool {
        (0..self.clients.len()).all(|client| !self.clients.is_busy(client))
    }

    /// No more wishes; operations under way end.
    fn finish_clients(&mut self) {
        self.busy = false;
        let deadline = self.now + millis(20_000);
        let quiet = self.run_until_true(deadline, Self::all_clients_idle);
        assert!(quiet, "a client waits forever\n{}", self.picture());
    }

    /// The status of all nodes, for failure messages.
    pub fn picture(&self) -> String {
        let mut lines = Vec::new();
        for (id, server) in &self.servers {
            let words = match (&server.running, &server.lost) {
                (Some(running), _) => {
                    let node = running.parts.driver.node();
                    format!(
                        "{:?} term {} leader {:?} base {} last {} durable {} commit {} applied {} {:?}",
                        node.role(),
                        node.hard_state().term,
                        node.leader(),
                        node.base(),
                        node.last(),
                        node.durable(),
                        node.commit(),
                        running.parts.handle.view().applied(),
                        node.followers(),
                    )
                }
                (None, Some(why)) => format!("lost: {why}"),
                (None, None) => "down".to_owned(),
            };
            lines.push(format!("  n{id}: {words}"));
        }
        lines.join("\n")
    }
}

/// What was armed and has not struck will not.
fn disarm(disk: &SimDisk) {
    const NEVER: u32 = u32::MAX;
    disk.arm(Fault::Crash { after: NEVER });
    for part in [Part::Log, Part::Store, Part::State] {
        disk.arm(Fault::WriteError { part, after: NEVER });
        disk.arm(Fault::SyncError { part, after: NEVER });
        disk.arm(Fault::ReadFlip { part, after: NEVER });
        disk.arm(Fault::Misdirect { part, after: NEVER });
    }
}
