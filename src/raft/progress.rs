//! What a leader knows of one follower, and the flow control towards it.

use crate::raft::message::Round;
use crate::types::{Index, NodeId};
use std::collections::VecDeque;

/// The progress of a follower, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerProgress {
    pub node: NodeId,
    /// How it gets entries.
    pub state: ProgressState,
    /// The last entry known to be durable there.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
}

/// How a follower gets entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// One append at a time, until it is known how far the logs agree.
    Probe,
    /// Appends follow each other without waiting (thesis §10.2.2).
    Replicate,
    /// It gets the state instead: the entries were compacted (Raft §7).
    Snapshot,
}

/// What a leader knows of a follower.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The follower's log is durable and equal to ours up to here.
    pub(crate) matched: Index,
    /// The next entry to send. Optimistic while replicating.
    pub(crate) next: Index,
    pub(crate) state: State,
    /// Whether it answered since the last check of the quorum (thesis §6.2).
    pub(crate) active: bool,
    /// The last round of heartbeats that it answered.
    pub(crate) round: Round,
    /// The commit index that it was last sent.
    pub(crate) commit_sent: Index,
    /// Ticks since it last acknowledged something, was asked again, or had nothing to acknowledge.
    pub(crate) quiet_ticks: u32,
    /// The entries from here on are being read from the log's store; until they come nothing else is sent or read.
    pub(crate) reading: Option<Index>,
}

/// [`ProgressState`] with what belongs to each.
#[derive(Clone, Debug, Hash)]
pub(crate) enum State {
    /// Searching for how far the logs agree: one append at a time.
    Probe {
        /// The end of the append that is under way. An answer to a heartbeat clears it after a while.
        sent: Option<Index>,
    },
    /// It is known how far they agree: appends follow each other without waiting (thesis §10.2.2).
    Replicate(Inflight),
    /// It needs entries that were compacted: it gets the state instead (Raft §7).
    Snapshot,
}

/// Appends that were sent and not yet acknowledged.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Inflight {
    appends: VecDeque<(Index, usize)>,
    bytes: usize,
}

impl Progress {
    /// A follower of which nothing is known yet: the first probe is at the end of the log.
    pub(crate) fn new(last: Index) -> Self {
        Self {
            matched: Index(0),
            next: last.next(),
            state: State::Probe { sent: None },
            active: false,
            round: Round(0),
            commit_sent: Index(0),
            quiet_ticks: 0,
            reading: None,
        }
    }

    /// Starts over from what is certain.
    pub(crate) fn probe(&mut self) {
        self.next = self.matched.next();
        self.state = State::Probe { sent: None };
        self.quiet_ticks = 0;
    }

    pub(crate) fn replicate(&mut self) {
        self.next = self.matched.next();
        self.state = State::Replicate(Inflight::default());
    }

    /// The follower holds our entries up to `matched`. True if that is news.
    pub(crate) fn accepted(&mut self, matched: Index) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.next = self.next.max(self.matched.next());
        self.quiet_ticks = 0;
        match &mut self.state {
            // Part of what was sent: the rest is being written, or found no room. Another probe follows at
            // the pace of heartbeats.
            State::Probe { sent: Some(last) } if matched < *last => {}
            State::Probe { .. } => self.replicate(),
            State::Replicate(inflight) => inflight.free(matched),
            // This state ends when the sending of the snapshot does.
            State::Snapshot => {}
        }
        news
    }

    /// The follower does not hold the entry at `prev`; the logs may agree at
    /// `agree`. A stale rejection is ignored: it must not rewind what was acknowledged since.
    pub(crate) fn rejected(&mut self, prev: Index, agree: Index) {
        let stale = match self.state {
            State::Probe { .. } => prev.next() != self.next,
            State::Replicate(_) => prev <= self.matched || prev >= self.next,
            State::Snapshot => true,
        };
        if stale || prev <= self.matched {
            return;
        }
        self.probe();
        self.next = agree.next().min(prev).max(self.matched.next());
    }

    /// An append up to `last` was sent.
    pub(crate) fn sent(&mut self, last: Index, bytes: usize) {
        match &mut self.state {
            State::Probe { sent } => {
                *sent = Some(last);
                self.quiet_ticks = 0;
            }
            State::Replicate(inflight) => {
                if last >= self.next {
                    inflight.add(last, bytes);
                    self.next = last.next();
                }
            }
            State::Snapshot => {}
        }
    }

    /// Whether an append may be sent now.
    pub(crate) fn is_open(&self, appends_max: usize, bytes_max: usize) -> bool {
        if self.reading.is_some() {
            return false;
        }
        match &self.state {
            State::Probe { sent } => sent.is_none(),
            State::Replicate(inflight) => !inflight.is_full(appends_max, bytes_max),
            State::Snapshot => false,
        }
    }

    /// Whether appends have been unanswered for so long that they must be lost.
    pub(crate) fn is_stuck(&self, ticks: u32) -> bool {
        matches!(&self.state, State::Replicate(inflight) if !inflight.is_empty()) && self.quiet_ticks >= ticks
    }

    /// The public part of the state.
    pub(crate) fn kind(&self) -> ProgressState {
        match self.state {
            State::Probe { .. } => ProgressState::Probe,
            State::Replicate(_) => ProgressState::Replicate,
            State::Snapshot => ProgressState::Snapshot,
        }
    }
}

impl Inflight {
    fn add(&mut self, last: Index, bytes: usize) {
        self.appends.push_back((last, bytes));
        self.bytes += bytes;
    }

    fn free(&mut self, matched: Index) {
        while let Some((_, bytes)) = self.appends.pop_front_if(|(last, _)| *last <= matched) {
            self.bytes -= bytes;
        }
    }

    fn is_full(&self, appends_max: usize, bytes_max: usize) -> bool {
        self.appends.len() >= appends_max || self.bytes >= bytes_max
    }

    fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }
}
