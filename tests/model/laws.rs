//! What must hold across servers, and what must be remembered for that.
//! (What one server states, it checks itself: see `Server::check_statement`.)

use crate::model::server::{Input, Reaction, Server};
use crate::model::world::{IDS, World};
use kontiki::raft::{ReadOutcome, ReadToken};
use kontiki::types::{EntryId, Index, NodeId, Term};

/// Raft's properties (paper, figure 3), the rest of what Kontiki promises, and
/// the assertions in the core. Each is a property of the model.
pub const ELECTION_SAFETY: &str = "election safety";
pub const LOG_MATCHING: &str = "log matching";
pub const LEADER_COMPLETENESS: &str = "leader completeness";
pub const STATE_MACHINE_SAFETY: &str = "state machine safety";
pub const DURABLE_QUORUM: &str = "commits rest on a durable quorum";
pub const FRESH_READS: &str = "reads are fresh";
pub const STATEMENTS: &str = "no assertion fails: one vote per term, statements are durable, invariants";

/// The message of a violation.
pub type Verdict = Result<(), (&'static str, String)>;

/// What was once true of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    pub leaders: Vec<(Term, NodeId)>,
    /// The entries that some leader has committed, from index 1 on, each with that leader's term.
    pub committed: Vec<(EntryId, Term)>,
    /// The state's hash at each index, by whoever was there first.
    hashes: Vec<(Index, u64)>,
    /// Reads that wait: where, and what was committed when they began.
    reads: Vec<(ReadToken, NodeId, usize)>,
}

macro_rules! demand {
    ($holds:expr, $law:expr, $($why:tt)+) => {
        if !$holds {
            return Err(($law, format!($($why)+)));
        }
    };
}

impl World {
    /// After `id` reacted to `input`.
    pub fn judge(&mut self, id: NodeId, input: &Input, reaction: &Reaction) -> Verdict {
        self.note_read(id, input);
        self.judge_leader(id)?;
        self.judge_commit(id)?;
        self.judge_logs(id)?;
        self.judge_states(id, &reaction.applied)?;
        self.judge_reads(&reaction.reads)
    }

    fn note_read(&mut self, id: NodeId, input: &Input) {
        let Ledger { reads, committed, .. } = &mut self.ledger;
        match input {
            Input::Read(token) => reads.push((*token, id, committed.len())),
            Input::Crash => reads.retain(|(_, at, _)| *at != id),
            _ => {}
        }
    }

    fn judge_leader(&mut self, id: NodeId) -> Verdict {
        let server = self.server(id);
        if !server.leads() {
            return Ok(());
        }
        let (node, term) = (&server.node, server.node.hard_state().term);
        if let Some((_, known)) = self.ledger.leaders.iter().find(|(known, _)| *known == term) {
            demand!(*known == id, ELECTION_SAFETY, "n{known} and n{id} both lead t{term}");
            return Ok(());
        }
        // A late winner of an election need not know what a later term has committed.
        let due = |(entry, committed_in): &&(EntryId, Term)| {
            *committed_in <= term && entry.index >= node.base().index
        };
        for (entry, _) in self.ledger.committed.iter().filter(due) {
            let holds = node.term_at(entry.index) == Some(entry.term);
            demand!(holds, LEADER_COMPLETENESS, "n{id} leads t{term} without {entry}");
        }
        self.ledger.leaders.push((term, id));
        self.ledger.leaders.sort_unstable();
        Ok(())
    }

    fn judge_commit(&mut self, id: NodeId) -> Verdict {
        let known = self.ledger.committed.len() as u64;
        let commit = self.server(id).node.commit().0;
        for index in (known + 1..=commit).map(Index) {
            self.judge_new_commit(id, index)?;
        }
        let node = &self.server(id).node;
        for (entry, _) in &self.ledger.committed[..usize::try_from(commit).expect("small")] {
            let same = node.term_at(entry.index).is_none_or(|term| term == entry.term);
            demand!(same, STATE_MACHINE_SAFETY, "n{id} has committed another entry than {entry}");
        }
        Ok(())
    }

    fn judge_new_commit(&mut self, id: NodeId, index: Index) -> Verdict {
        let node = &self.server(id).node;
        demand!(self.server(id).leads(), DURABLE_QUORUM, "n{id} commits {index}, which no leader committed");
        let term = self.server(id).term_at(index).unwrap_or_default();
        let entry = EntryId { term, index };
        let own = node.term_at(node.commit()) == Some(node.hard_state().term);
        demand!(own, DURABLE_QUORUM, "n{id} commits {entry} by counting an older term (Raft figure 8)");
        let holders = IDS.into_iter().filter(|other| self.server(*other).disk.holds(entry)).count();
        demand!(holders > IDS.len() / 2, DURABLE_QUORUM, "n{id} commits {entry}, durable on {holders} only");
        let committed_in = node.hard_state().term;
        self.ledger.committed.push((entry, committed_in));
        Ok(())
    }

    fn judge_logs(&self, id: NodeId) -> Verdict {
        let one = &self.server(id).node;
        for other in self.servers().map(|server| &server.node).filter(|other| other.id() != id) {
            let low = one.base().index.max(other.base().index);
            let high = one.last().index.min(other.last().index);
            let mut equal = false;
            for index in (low.0..=high.0).rev().map(Index) {
                let same = one.term_at(index) == other.term_at(index);
                equal |= same;
                demand!(same || !equal, LOG_MATCHING, "n{id} and n{} differ at {index}", other.id());
            }
        }
        Ok(())
    }

    fn judge_states(&mut self, id: NodeId, applied: &[(Index, u64)]) -> Verdict {
        for (index, hash) in applied {
            match self.ledger.hashes.binary_search_by_key(index, |(index, _)| *index) {
                Err(place) => self.ledger.hashes.insert(place, (*index, *hash)),
                Ok(place) => {
                    let same = self.ledger.hashes[place].1 == *hash;
                    demand!(same, STATE_MACHINE_SAFETY, "n{id} has another state at {index}");
                }
            }
        }
        Ok(())
    }

    fn judge_reads(&mut self, outcomes: &[ReadOutcome]) -> Verdict {
        for outcome in outcomes {
            let (ReadOutcome::Ready { token, .. } | ReadOutcome::Lost { token }) = outcome;
            let place = self.ledger.reads.iter().position(|(known, ..)| known == token);
            let Some(place) = place else {
                return Err((FRESH_READS, format!("read {} ends twice", token.0)));
            };
            let (_, at, floor) = self.ledger.reads.remove(place);
            if let ReadOutcome::Ready { index, .. } = outcome {
                let fresh = index.0 >= floor as u64;
                demand!(
                    fresh,
                    FRESH_READS,
                    "n{at} answers read {} at {index}, {floor} is committed",
                    token.0
                );
            }
        }
        Ok(())
    }
}

/// What a search must have seen; otherwise its bounds were too tight to show anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A second leader was elected.
    LaterTerm,
    /// A client's entry was committed.
    Commit,
    /// A follower's or a former leader's entries were cut off.
    Truncation,
    /// A node came back without writes that it had begun.
    LostWrites,
    /// A snapshot replaced a state.
    Snapshot,
    /// A node came back between the two halves of an installation.
    HalfInstalled,
    /// A candidate stands because its predecessor asked it to.
    Transfer,
    /// A read was answered.
    Read,
    /// Somebody who lags was sent entries from the log's store.
    LogRead,
    /// A leader stepped down since it heard from nobody, or of a later term.
    StepDown,
}

impl Sight {
    pub const ALL: [Self; 10] = [
        Self::LaterTerm,
        Self::Commit,
        Self::Truncation,
        Self::LostWrites,
        Self::Snapshot,
        Self::HalfInstalled,
        Self::Transfer,
        Self::Read,
        Self::LogRead,
        Self::StepDown,
    ];

    /// Whether this step shows it.
    pub fn is_in(
        self,
        before: &World,
        after: &World,
        id: NodeId,
        input: &Input,
        reaction: &Reaction,
    ) -> bool {
        let (was, is): (&Server, &Server) = (before.server(id), after.server(id));
        let crashed = *input == Input::Crash;
        match self {
            Self::LaterTerm => !was.leads() && is.leads() && before.ledger.leaders.len() == 1,
            Self::Commit => is.leads() && is.node.commit() > was.node.commit() && is.node.last().index.0 > 1,
            Self::Truncation => !crashed && *input != Input::Installed && is.truncated(was),
            Self::LostWrites => crashed && !was.disk.is_idle(),
            Self::Snapshot => *input == Input::Installed,
            Self::HalfInstalled => crashed && was.install.as_ref().is_some_and(|install| install.replaced),
            Self::Transfer => reaction.sent.iter().any(crate::model::network::Packet::stands_for_transfer),
            Self::Read => reaction.reads.iter().any(|read| matches!(read, ReadOutcome::Ready { .. })),
            Self::LogRead => matches!(input, Input::ReadLog(_)) && !reaction.sent.is_empty(),
            Self::StepDown => !crashed && was.leads() && !is.leads(),
        }
    }
}
