//! How the parts of a node are called: what the threads and the runtime of the
//! real program do, at random moments.

use crate::sim::clock::{Time, millis};
use crate::sim::front::{Here, Noted};
use crate::sim::report::count;
use crate::sim::server::NoStart;
use crate::sim::world::{Event, World};
use kontiki::raft::RoleName;
use kontiki::types::NodeId;
use std::sync::Arc;

/// How often the free space on the disk is checked.
const LOOK_PAUSE: Time = millis(200);
/// How long a restart of a process takes.
const RESTART_PAUSE: std::ops::Range<Time> = millis(50)..millis(3000);

impl World {
    /// A machine starts its process, unless it runs or can never run.
    pub fn start(&mut self, node: NodeId) {
        let (members, options) = (self.members.clone(), self.swarm.options.clone());
        let server = self.server(node);
        if server.running.is_some() || server.lost.is_some() {
            return;
        }
        let started = server.start(&members, &options);
        let life = server.life;
        match started {
            Ok(restored) => {
                let last = restored.last();
                let server = &self.servers[&node];
                let view = server.running.as_ref().expect("just started").parts.handle.view();
                let applied = view.applied();
                let numbers = [life, last.index.0, applied.index.0, view.revision().0];
                self.note(node, "starts", &numbers, || {
                    let term = restored.hard_state.term;
                    format!("life {life}, term {term}, log {} to {last}, state {applied}", restored.base)
                });
                let held = Arc::new(self.servers[&node].disk.durable());
                let running = self.servers[&node].running.as_ref().expect("just started");
                let view = running.parts.handle.view();
                self.ledger.started(
                    running.parts.driver.node(),
                    &restored,
                    &view,
                    held,
                    running.began_damaged,
                );
                let first = self.random.time(Time::ZERO..self.swarm.timing.tick);
                self.plan(first, Event::Tick { node, life });
                let due = self.now + self.swarm.options.state_sync_interval;
                self.plan(LOOK_PAUSE, Event::Sync { node, life, due });
                self.plan_apply(node);
                count(&mut self.summary.events, "process starts", 1);
                self.perhaps_send_stray(node);
            }
            Err(NoStart::Died) => self.start_again(node, "the process died during the start"),
            Err(NoStart::Failed(why)) => self.start_again(node, &why),
            Err(NoStart::Damaged(why)) => self.give_up(node, why),
            Err(NoStart::Unnoticed(why)) => {
                count(&mut self.summary.events, "losses by damage that a start did not notice", 1);
                self.give_up(node, why);
            }
        }
    }

    /// A start has failed for a reason that may pass. Not forever: see [`Self::demand_liveness`].
    fn start_again(&mut self, node: NodeId, why: &str) {
        let server = &self.servers[&node];
        if server.disk.is_damaged() && !server.disk.is_halted() {
            return self.give_up(node, why.to_owned());
        }
        self.note(node, "fails", &[], || format!("to start: {why}"));
        self.crash(node, false);
        self.restart_soon(node);
    }

    /// A disk is damaged, and the node says so: it never starts again.
    fn give_up(&mut self, node: NodeId, why: String) {
        self.note(node, "refuses", &[], || format!("to start: {why}"));
        let server = self.server(node);
        assert!(server.disk.is_damaged(), "n{node} refuses to start although nothing damaged it: {why}");
        server.lost = Some(why);
        server.crash(false);
        count(&mut self.summary.events, "starts refused for damage", 1);
    }

    /// The process of a node ends at once.
    pub fn crash(&mut self, node: NodeId, power: bool) {
        self.look_at_disk(node);
        self.note(node, "dies", &[u64::from(power)], || {
            if power { "power cut" } else { "killed" }.to_owned()
        });
        self.server(node).crash(power);
        self.break_connections(node);
    }

    /// Somebody restarts it: systemd, an orchestrator, a person.
    pub fn restart_soon(&mut self, node: NodeId) {
        let after = self.random.time(RESTART_PAUSE);
        self.plan(after, Event::Start { node });
    }

    /// A part of it has failed: the process ends, and is started again.
    fn fail(&mut self, node: NodeId, why: &str) {
        self.note(node, "fails", &[], || why.to_owned());
        count(&mut self.summary.events, "processes ended by an error of their disk", 1);
        self.crash(node, false);
        self.restart_soon(node);
    }

    /// The watchdog of the real process ends it when its disk is silent.
    pub fn give_up_disk(&mut self, node: NodeId, life: u64) {
        if self.lives(node, life) && self.servers[&node].stalled_until > self.now {
            self.fail(node, "the disk has not answered for too long");
        }
    }

    pub fn tick(&mut self, node: NodeId, life: u64) {
        if !self.lives(node, life) {
            return;
        }
        let tick = self.swarm.timing.tick;
        let server = self.server(node);
        let next = server.by_its_clock(tick);
        if let Some(running) = &mut server.running {
            running.parts.driver.tick();
        }
        self.plan(next, Event::Tick { node, life });
        self.take_turn(node);
        if let Some(running) = &self.servers[&node].running {
            let election_ticks = self.swarm.options.raft.election_ticks_min;
            self.ledger.leads.ticked(running.parts.driver.node(), election_ticks);
        }
    }

    pub fn turn(&mut self, node: NodeId, life: u64) {
        if self.lives(node, life) {
            self.take_turn(node);
        }
    }

    /// Something waits for the loop of a node.
    pub fn plan_turn(&mut self, node: NodeId) {
        let delay = Time::from_micros(self.random.number(5..200));
        let Some(running) = &mut self.server(node).running else { return };
        let life = running.life;
        if !std::mem::replace(&mut running.planned.turn, true) {
            self.plan(delay, Event::Turn { node, life });
        }
    }

    fn take_turn(&mut self, node: NodeId) {
        let (now, beginning) = (self.now, self.beginning);
        let server = self.server(node);
        let instant = server.instant(beginning, now);
        let Some(running) = &mut server.running else { return };
        running.planned.turn = false;
        let before = running.parts.driver.node().role();
        running.parts.driver.turn(instant);
        let after = running.parts.driver.node();
        if (before == RoleName::Leader) != (after.role() == RoleName::Leader) {
            let (role, term) = (after.role(), after.hard_state().term);
            self.note(node, "role", &[term.0, role as u64], || format!("{role:?} in term {term}"));
        }
        self.observe(node);
        self.send_out(node);
        self.plan_log(node);
        self.plan_apply(node);
        self.finish_install(node);
        self.serve(node);
    }

    /// The ledger looks at a node.
    fn observe(&mut self, node: NodeId) {
        let server = &self.servers[&node];
        let Some(running) = &server.running else { return };
        let bounds = server.bounds(&self.swarm.options);
        self.ledger.stepped(running.parts.driver.node(), &running.parts.handle.view(), bounds);
        assert!(
            running.front.len() <= bounds.requests,
            "n{node} has {} requests at work",
            running.front.len()
        );
    }

    fn plan_log(&mut self, node: NodeId) {
        let (mean, now) = (self.swarm.disk.write, self.now);
        let server = self.server(node);
        let delay = server.write_time(mean, now);
        let Some(running) = &mut server.running else { return };
        let life = running.life;
        if !std::mem::replace(&mut running.planned.log, true) {
            self.plan(delay, Event::Log { node, life });
        }
    }

    pub fn write_log(&mut self, node: NodeId, life: u64) {
        if !self.lives(node, life) {
            return;
        }
        let Some(running) = &mut self.server(node).running else { return };
        running.planned.log = false;
        let outcome = running.parts.log_writer.poll();
        let read = running.parts.log_reading.poll();
        self.look_at_disk(node);
        match read {
            Ok(false) => {}
            Ok(true) => {
                self.note(node, "read the log", &[], String::new);
                count(&mut self.summary.events, "logs read for a follower", 1);
                self.plan_log(node);
                self.plan_turn(node);
            }
            Err(error) => return self.fail(node, &format!("the log cannot be read: {error}")),
        }
        match outcome {
            Ok(false) => {}
            Ok(true) => {
                self.note(node, "wrote", &[], String::new);
                self.plan_log(node);
                self.plan_store(node);
                self.plan_turn(node);
            }
            Err(error) => self.fail(node, &format!("the log cannot be written: {error}")),
        }
    }

    fn plan_store(&mut self, node: NodeId) {
        // It need not be soon.
        let mean = self.swarm.disk.write * 4;
        let server = self.server(node);
        let delay = mean / 4 + server.random.time_about(mean);
        let Some(running) = &mut server.running else { return };
        let life = running.life;
        if !std::mem::replace(&mut running.planned.store, true) {
            self.plan(delay, Event::Store { node, life });
        }
    }

    pub fn store_log(&mut self, node: NodeId, life: u64) {
        if !self.lives(node, life) {
            return;
        }
        let Some(running) = &mut self.server(node).running else { return };
        running.planned.store = false;
        let outcome = running.parts.log_storer.poll();
        self.look_at_disk(node);
        match outcome {
            Ok(false) => {}
            Ok(true) => {
                self.plan_store(node);
                self.plan_turn(node);
            }
            Err(error) => self.fail(node, &format!("the log cannot be stored: {error}")),
        }
    }

    /// A node's disk was used outside of its workers: the process may have died in it.
    pub fn look_at_machine(&mut self, node: NodeId) {
        let server = &self.servers[&node];
        if server.running.is_some() && server.disk.is_halted() {
            self.fail(node, "died in an operation of the disk");
        }
    }

    /// The ledger looks at a node's disk.
    pub fn look_at_disk(&mut self, node: NodeId) {
        let server = &self.servers[&node];
        let Some(running) = &server.running else { return };
        let written = std::mem::take(&mut *running.written.lock().expect("nobody panics while holding it"));
        self.ledger.wrote(node, &written);
        if !server.disk.is_halted() {
            self.ledger.holds(node, Arc::new(server.disk.durable()));
        }
    }

    fn plan_apply(&mut self, node: NodeId) {
        let mean = self.swarm.disk.apply;
        let server = self.server(node);
        let delay = mean / 4 + server.random.time_about(mean);
        let Some(running) = &mut server.running else { return };
        let life = running.life;
        if !std::mem::replace(&mut running.planned.apply, true) {
            self.plan(delay, Event::Apply { node, life });
        }
    }

    pub fn apply(&mut self, node: NodeId, life: u64) {
        if !self.lives(node, life) {
            return;
        }
        let Some(running) = &mut self.server(node).running else { return };
        running.planned.apply = false;
        let before = running.parts.handle.view().applied();
        let outcome = running.parts.applier.poll();
        let view = running.parts.handle.view();
        let installs = running.installing.is_some();
        self.look_at_disk(node);
        match outcome {
            Err(error) => return self.fail(node, &format!("the state cannot be kept: {error}")),
            Ok(false) => return,
            Ok(true) => {}
        }
        if view.applied() == before {
            // A step of garbage collection: the next one can wait.
            let running = self.server(node).running.as_mut().expect("lives");
            running.planned.apply = true;
            return self.plan(millis(50), Event::Apply { node, life });
        }
        self.note(node, "applied", &[view.applied().index.0], || view.applied().to_string());
        self.ledger.showed(node, &view);
        self.plan_apply(node);
        if installs {
            self.plan_turn(node);
        }
        self.observe(node);
        self.serve(node);
    }

    pub fn sync_state(&mut self, node: NodeId, life: u64, due: Time) {
        if !self.lives(node, life) {
            return;
        }
        let (now, interval) = (self.now, self.swarm.options.state_sync_interval);
        let Some(running) = &mut self.server(node).running else { return };
        running.parts.state_syncer.look_at_room();
        if now < due {
            return self.plan(LOOK_PAUSE, Event::Sync { node, life, due });
        }
        let outcome = running.parts.state_syncer.sync();
        self.look_at_disk(node);
        match outcome {
            Ok(()) => {
                self.plan(LOOK_PAUSE, Event::Sync { node, life, due: now + interval });
                self.plan_turn(node);
            }
            Err(error) => self.fail(node, &format!("the state cannot be made durable: {error}")),
        }
    }

    pub fn look_at_front(&mut self, node: NodeId, life: u64) {
        if self.lives(node, life) {
            if let Some(running) = &mut self.server(node).running {
                running.front_due = None;
            }
            self.serve(node);
        }
    }

    /// Requests on a node go on.
    pub fn serve(&mut self, node: NodeId) {
        let here = self.moment_of(node);
        let Some(running) = &mut self.server(node).running else { return };
        running.front.look(here);
        self.after_front(node);
    }

    /// Carries out what the requests of a node want.
    pub fn after_front(&mut self, node: NodeId) {
        let here = self.moment_of(node);
        let Some(running) = &mut self.server(node).running else { return };
        let life = running.life;
        let noted = running.front.noted();
        let outgoing = std::mem::take(&mut running.front.outgoing);
        let woke = running.front.woke();
        let due =
            running.front.due(here).filter(|due| running.front_due.is_none_or(|planned| *due < planned));
        if let Some(due) = due {
            running.front_due = Some(due);
            self.plan(due.saturating_sub(here.now).max(Time::from_micros(1)), Event::Front { node, life });
        }
        for noted in noted {
            match noted {
                Noted::IndexAsked(call) => self.ledger.asked_index(call),
                Noted::IndexGiven(call, index) => {
                    self.ledger.reads.given(call, index, node, &self.members);
                }
                Noted::Acknowledged(command, id, revision) => {
                    let (commits, entries) = (&self.ledger.commits, &self.ledger.entries);
                    self.ledger.answers.acknowledged(&command, id, revision, commits, entries);
                }
            }
        }
        for outgoing in outgoing {
            self.send_call(node, outgoing);
        }
        if woke {
            self.plan_turn(node);
        }
    }

    /// The moment on a node's own clock, too.
    pub fn moment_of(&self, node: NodeId) -> Here {
        let server = &self.servers[&node];
        Here { now: self.now, instant: server.instant(self.beginning, self.now), rate: server.rate }
    }

    /// A line of the trace about a node.
    pub fn note(&mut self, node: NodeId, what: &str, numbers: &[u64], words: impl FnOnce() -> String) {
        let mut all = [0; 5];
        all[0] = node.0;
        for (place, number) in all[1..].iter_mut().zip(numbers) {
            *place = *number;
        }
        self.trace.note(self.now, what, &all, || format!("n{node} {}", words()));
    }
}
