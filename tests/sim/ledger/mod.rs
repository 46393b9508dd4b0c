//! What must hold across nodes, checked after every step against everything that ever happened. No node sees
//! any of this: the ledger outlives crashes, damage and false statements.
//!
//! | ledger | what it checks |
//! |---|---|
//! | [`entries`] | log matching; the same entry is the same everywhere, in memory and on disk |
//! | [`terms`] | one leader per term, elected by a majority; one vote per node and term, across restarts |
//! | [`commits`] | committed on a *durable* quorum, by a leader's own term; committed entries never change; a new leader has them all |
//! | [`claims`] | what a message says about its sender is on the sender's disk |
//! | [`states`] | equal applied index, equal state; revisions rise |
//! | [`beliefs`] | what a leader counts was said to it, in its term |
//! | [`reads`] | a read index covers all that was committed before it was asked for, and a majority was asked since |
//! | [`answers`] | what was acknowledged is committed, at its place, exactly once, and on every disk at the end |
//! | [`leads`] | a leader that does not hear from a majority steps down |
//! | [`lives`] | within one life of a process nothing goes back; between lives no promise is lost; order and bounds |
//!
//! A violation is a panic: the world catches it and names the seed.

pub mod answers;
pub mod beliefs;
pub mod claims;
pub mod commits;
pub mod entries;
pub mod leads;
pub mod lives;
pub mod reads;
pub mod states;
pub mod terms;

use crate::sim::disk::Durable;
use crate::sim::front::CallId;
use crate::sim::ledger::lives::Life;
use kontiki::machine::View;
use kontiki::raft::{Message, Node, Persist, RoleName};
use kontiki::storage::RestoredLog;
use kontiki::types::{Index, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All ledgers.
#[derive(Debug, Default)]
pub struct Ledger {
    pub entries: entries::Entries,
    pub terms: terms::Terms,
    pub commits: commits::Commits,
    pub states: states::States,
    pub reads: reads::Reads,
    pub answers: answers::Answers,
    pub leads: leads::Leads,
    beliefs: beliefs::Beliefs,
    lives: BTreeMap<NodeId, Life>,
    /// What each node's disk would certainly have after a power cut.
    pub held: BTreeMap<NodeId, Held>,
}

/// What is durable on a node.
pub type Held = Arc<Durable>;

impl Ledger {
    /// A node begins a life with what its disk gave it: everything that it promised. Damage may have taken
    /// the end of the state, which the log makes up for.
    pub fn started(
        &mut self,
        node: &Node,
        restored: &RestoredLog,
        view: &View,
        held: Held,
        was_damaged: bool,
    ) {
        let id = node.id();
        self.entries.restored(id, restored);
        self.terms.restored(id, restored.hard_state);
        if let Some(before) = self.held.insert(id, held) {
            lives::kept(id, &before, restored, view.applied(), &self.commits, was_damaged);
        }
        self.leads.started(id);
        self.lives.insert(id, Life::begin(node, view));
        self.states.saw(id, view);
    }

    /// A node's disk has written something.
    pub fn wrote(&mut self, id: NodeId, jobs: &[Persist]) {
        for job in jobs {
            if let Some(hard_state) = job.hard_state {
                self.terms.written(id, hard_state);
            }
            for entry in &job.entries {
                self.entries.met(entry);
            }
        }
    }

    /// What is durable on a node has changed.
    pub fn holds(&mut self, id: NodeId, held: Held) {
        if let Some(before) = self.held.insert(id, held) {
            lives::lost_nothing(id, &before, &self.held[&id], &self.commits);
        }
    }

    /// After a step of a node. `tail_max` bounds its tail in memory, in bytes.
    pub fn stepped(&mut self, node: &Node, view: &View, bounds: lives::Bounds) {
        let id = node.id();
        if node.role() == RoleName::Leader && self.terms.leads(id, node.hard_state().term) {
            self.terms.check_elected(node, self.held.get(&id));
            self.commits.check_complete(node);
        }
        self.beliefs.check(node);
        let Some(life) = self.lives.get_mut(&id) else { return };
        self.entries.compare(node, life);
        self.commits.compare(node, life, &self.held);
        if let Some(held) = self.held.get(&id) {
            life.advance(node, view, held, bounds);
        }
    }

    /// A node shows readers a new state.
    pub fn showed(&mut self, id: NodeId, view: &View) {
        self.states.saw(id, view);
    }

    /// A message leaves a node.
    pub fn sent(&mut self, node: &Node, to: NodeId, message: &Message) {
        let id = node.id();
        let held = self.held.get(&id).expect("every node has a disk");
        let Some(candidate) = claims::check(node, message, held) else { return };
        if claims::check_vote(id, message, to, held) {
            self.terms.voted(id, message.term(), to);
        }
        if let Some(candidate) = candidate {
            self.terms.voted(id, message.term(), candidate);
        }
        match message {
            Message::Append(append) => self.entries.sent(append),
            Message::Accepted { term, matched } => self.beliefs.acknowledged(id, to, *term, *matched),
            Message::HeartbeatAck { term, .. } => self.reads.answered(id, to, *term),
            _ => {}
        }
    }

    /// A read index was asked for.
    pub fn asked_index(&mut self, call: CallId) {
        self.reads.asked(call, self.commits.through());
    }

    /// How far the cluster as a whole has committed.
    pub fn committed(&self) -> Index {
        self.commits.through()
    }
}
