//! The final checks: what must be true when nothing goes wrong any more.

use crate::sim::report::count;
use crate::sim::swarm::Mode;
use crate::sim::world::World;
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    /// Nothing acknowledged is lost, nothing was done twice, and every answer was true.
    pub fn close_accounts(&mut self) {
        self.clients.history.check_commands(&self.ledger.commits, &self.ledger.entries);
        self.compare_states();
        if self.swarm.mode == Mode::Atlas {
            self.look_for_what_was_acknowledged();
        }
        self.clients.history.check();
        self.sum_up();
    }

    /// Reads everything on every node, from its disk: nodes with the same applied index hold the same.
    fn compare_states(&mut self) {
        let mut first = BTreeMap::new();
        let (mut scanned, mut compared) = (0, 0);
        for (id, server) in &self.servers {
            let Some(running) = &server.running else { continue };
            let view = running.parts.handle.view();
            let records = match view.hash(None) {
                Ok(hash) => hash,
                Err(error) => panic!("n{id} runs but cannot read its state: {error}"),
            };
            scanned += 1;
            let state = (view.state_hash(), records);
            let Some((other, known)) = first.get(&view.applied()) else {
                first.insert(view.applied(), (*id, state));
                continue;
            };
            assert_eq!(state, *known, "n{id} and n{other} have different states at {}", view.applied());
            compared += 1;
        }
        if self.swarm.mode == Mode::Atlas {
            assert_eq!(first.len(), 1, "the nodes are not equally far at the end\n{}", self.picture());
        }
        count(&mut self.summary.events, "states scanned", scanned);
        count(&mut self.summary.events, "states compared", compared);
    }

    /// Everything ever acknowledged is on the disk of every node that can run.
    fn look_for_what_was_acknowledged(&self) {
        for node in self.able() {
            self.ledger.answers.check_kept(node, &Arc::new(self.servers[&node].disk.durable()));
        }
    }

    fn sum_up(&mut self) {
        let summary = &mut self.summary;
        summary.steps = self.steps;
        summary.time = self.now;
        summary.trace = self.trace.hash();
        for (name, more) in &self.clients.counts {
            count(&mut summary.operations, name, *more);
        }
        count(&mut summary.events, "operations checked", self.clients.history.len());
        count(&mut summary.events, "acknowledged by a replica", self.ledger.answers.len());
        count(&mut summary.events, "read indexes confirmed", self.ledger.reads.confirmed);
        count(&mut summary.events, "leaders", self.ledger.terms.leader_changes());
        count(&mut summary.events, "entries committed", self.ledger.committed().0);
        let network = self.network.counts;
        count(&mut summary.events, "messages sent", network.sent);
        for (name, more) in [
            ("message lost", network.lost),
            ("message cut off", network.cut),
            ("message repeated", network.duplicated),
            ("message overtaken", network.reordered),
            ("message very late", network.late),
            ("message clogged", network.clogged),
            ("message refused by a full queue", network.refused),
        ] {
            count(&mut summary.faults, name, more);
        }
        for server in self.servers.values() {
            for (name, more) in server.disk.counts() {
                count(&mut summary.faults, name, more);
            }
        }
    }
}
