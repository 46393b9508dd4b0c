//! Linearizable reads without the log: ReadIndex (thesis §6.4).
//!
//! A leader notes its commit index, then asks a majority whether it still leads. One round of heartbeats
//! confirms every read that was waiting when it began; later reads wait for the next round, since an answer
//! to the current one may have been sent before they began.

use crate::raft::effects::{ReadOutcome, ReadToken};
use crate::raft::message::Round;
use crate::types::Index;

/// The reads that wait on a leader.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Reads {
    waiting: Vec<ReadToken>,
    asked: Option<AskedRound>,
    /// The last round that was sent. Increases within the leader's term, so an answer can never be mistaken
    /// for that to another round.
    last: Round,
}

#[derive(Clone, Debug, Hash)]
struct AskedRound {
    round: Round,
    index: Index,
    tokens: Vec<ReadToken>,
}

impl Reads {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.asked.as_ref().map_or(0, |asked| asked.tokens.len())
    }

    pub(crate) fn wait(&mut self, token: ReadToken) {
        self.waiting.push(token);
    }

    /// The round that heartbeats carry.
    pub(crate) fn round(&self) -> Round {
        self.last
    }

    /// Begins a round for all waiting reads, unless one is under way. `commit` must include an entry of the
    /// leader's own term: until then it may be behind what the predecessor acknowledged.
    pub(crate) fn begin(&mut self, commit: Index) -> bool {
        if self.asked.is_some() || self.waiting.is_empty() {
            return false;
        }
        self.last = Round(self.last.0 + 1);
        let tokens = std::mem::take(&mut self.waiting);
        self.asked = Some(AskedRound { round: self.last, index: commit, tokens });
        true
    }

    /// Ends the round if enough nodes answered it or a later one.
    pub(crate) fn confirm(&mut self, is_confirmed: impl Fn(Round) -> bool) -> Vec<ReadOutcome> {
        let Some(asked) = self.asked.take_if(|asked| is_confirmed(asked.round)) else { return Vec::new() };
        asked.tokens.into_iter().map(|token| ReadOutcome::Ready { token, index: asked.index }).collect()
    }

    /// Leadership has ended: all reads are lost.
    pub(crate) fn abandon(self) -> impl Iterator<Item = ReadOutcome> {
        let asked = self.asked.map_or(Vec::new(), |asked| asked.tokens);
        let all = asked.into_iter().chain(self.waiting);
        all.map(|token| ReadOutcome::Lost { token })
    }
}
