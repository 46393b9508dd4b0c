//! What a leader knows of one follower, and the flow control towards it.

use crate::raft::message::Round;
use crate::raft::options::Options;
use crate::types::{EntryId, FollowerState, Index, NodeId};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// How often the pause after a failed snapshot is doubled at most.
const SNAPSHOT_BACKOFFS_MAX: u32 = 3;

/// The progress of a follower, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerProgress {
    pub node: NodeId,
    /// Whether it has answered within an election timeout.
    pub alive: bool,
    /// How it gets entries.
    pub state: FollowerState,
    /// The last entry known to be durable there.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
}

/// What a leader knows of a follower.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The follower's log is durable and equal to ours up to here.
    pub(crate) matched: Index,
    /// The next entry to send. Optimistic while replicating.
    pub(crate) next: Index,
    pub(crate) flow: Flow,
    /// Whether it answered since the last check of the quorum (thesis §6.2).
    pub(crate) active: bool,
    /// The last round of heartbeats that it answered.
    pub(crate) round: Round,
    /// The commit index that it was last sent.
    pub(crate) commit_sent: Index,
    /// Ticks since it last answered anything.
    pub(crate) silent_ticks: u32,
    /// How far it had our log when it last answered a heartbeat, durable or not.
    received: Index,
    /// Whether it had no room for entries then.
    full: bool,
    /// The last entry that it was sent in this state.
    last_sent: EntryId,
    /// Snapshots in a row that did not arrive…
    snapshots_failed: u32,
    /// …and the ticks until the next one may be sent.
    snapshot_pause: u32,
    /// Ticks since it last acknowledged something, was asked again, or had nothing to acknowledge.
    pub(crate) quiet_ticks: u32,
    /// The entries from here on are being read from the log's store; until they come nothing else is sent or read.
    pub(crate) reading: Option<Index>,
}

/// [`FollowerState`] with what belongs to each.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Flow {
    /// Searching for how far the logs agree: one append at a time.
    Probe {
        /// The append that is under way.
        sent: Option<Probe>,
    },
    /// It is known how far they agree: appends follow each other without waiting (thesis §10.2.2).
    Replicate(Inflight),
    /// It needs entries that were compacted: it gets the state instead (Raft §7).
    Snapshot,
}

/// An append that was sent to find out how far the logs agree.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Probe {
    prev: EntryId,
    last: Index,
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
            flow: Flow::Probe { sent: None },
            active: false,
            round: Round(0),
            commit_sent: Index(0),
            silent_ticks: 0,
            received: Index(0),
            full: false,
            last_sent: EntryId::ZERO,
            snapshots_failed: 0,
            snapshot_pause: 0,
            quiet_ticks: 0,
            reading: None,
        }
    }

    /// Starts over from what is certain.
    pub(crate) fn probe(&mut self) {
        self.probe_behind(self.matched);
    }

    /// Starts over from what it had when it last told. If it has lost that since, it will say so.
    pub(crate) fn probe_behind_received(&mut self) {
        self.probe_behind(self.matched.max(self.received));
    }

    fn probe_behind(&mut self, index: Index) {
        self.next = index.next();
        self.flow = Flow::Probe { sent: None };
        self.quiet_ticks = 0;
    }

    pub(crate) fn replicate(&mut self) {
        self.next = self.matched.next();
        self.flow = Flow::Replicate(Inflight::default());
    }

    /// The follower holds our entries up to `matched`. True if that is news.
    pub(crate) fn accepted(&mut self, matched: Index) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.next = self.next.max(self.matched.next());
        self.quiet_ticks = 0;
        match &mut self.flow {
            // Part of what was sent: the rest is being written, or found no room. Another probe follows at
            // the pace of heartbeats.
            Flow::Probe { sent: Some(probe) } if matched < probe.last => {}
            Flow::Probe { .. } => self.replicate(),
            Flow::Replicate(inflight) => inflight.free(matched),
            // This state ends when the sending of the snapshot does.
            Flow::Snapshot => {}
        }
        news
    }

    /// The follower does not hold the entry at `prev`; the logs may agree at
    /// `agree`. A stale rejection is ignored: it must not rewind what was acknowledged since.
    pub(crate) fn rejected(&mut self, prev: Index, agree: Index) {
        let stale = match self.flow {
            Flow::Probe { .. } => prev.next() != self.next,
            Flow::Replicate(_) => prev <= self.matched || prev >= self.next,
            Flow::Snapshot => true,
        };
        if stale || prev <= self.matched {
            return;
        }
        self.received = Index(0);
        self.probe();
        self.next = agree.next().min(prev).max(self.matched.next());
    }

    /// An append behind `prev` up to `last` was sent.
    pub(crate) fn sent(&mut self, prev: EntryId, last: EntryId, bytes: usize) {
        match &mut self.flow {
            Flow::Probe { sent } => {
                *sent = Some(Probe { prev, last: last.index });
                self.quiet_ticks = 0;
            }
            Flow::Replicate(inflight) => {
                if last.index >= self.next {
                    inflight.add(last.index, bytes);
                    self.next = last.index.next();
                    self.last_sent = last;
                }
            }
            Flow::Snapshot => {}
        }
    }

    /// Whether an append may be sent now.
    pub(crate) fn is_open(&self, appends_max: usize, bytes_max: usize) -> bool {
        if self.reading.is_some() || self.full {
            return false;
        }
        match &self.flow {
            Flow::Probe { sent } => sent.is_none(),
            Flow::Replicate(inflight) => !inflight.is_full(appends_max, bytes_max),
            Flow::Snapshot => false,
        }
    }

    /// It has our log up to `received` now, or has no room for more. Returns the entry behind which it is to be asked
    /// again, without entries: what has arrived and waits for its disk must not be sent again.
    pub(crate) fn heartbeat_answered(
        &mut self,
        received: Index,
        full: bool,
        options: &Options,
    ) -> Option<EntryId> {
        let moves = received > self.received;
        self.received = received;
        let had_no_room = std::mem::replace(&mut self.full, full);
        match &self.flow {
            Flow::Snapshot => None,
            // It has dropped what it was sent since.
            _ if had_no_room && !full => {
                self.probe_behind_received();
                None
            }
            _ if full => None,
            // Not while the answer may still arrive.
            Flow::Probe { sent } if self.quiet_ticks >= options.heartbeat_ticks => {
                sent.map(|probe| probe.prev)
            }
            Flow::Replicate(inflight)
                if !inflight.is_empty() && self.quiet_ticks >= options.election_ticks_min =>
            {
                self.quiet_ticks = 0;
                if moves {
                    return None;
                }
                if received >= self.last_sent.index {
                    return Some(self.last_sent);
                }
                // It is alive, so what has not arrived for so long was lost.
                self.probe_behind_received();
                None
            }
            Flow::Probe { .. } | Flow::Replicate(_) => None,
        }
    }

    /// The sending of a snapshot failed: the next one waits, longer each time.
    pub(crate) fn snapshot_failed(&mut self, options: &Options) {
        self.snapshot_pause = options.election_ticks_max << self.snapshots_failed.min(SNAPSHOT_BACKOFFS_MAX);
        self.snapshots_failed = self.snapshots_failed.saturating_add(1);
        self.flow = Flow::Probe { sent: None };
    }

    pub(crate) fn snapshot_arrived(&mut self) {
        self.snapshots_failed = 0;
    }

    pub(crate) fn may_get_snapshot(&self) -> bool {
        self.snapshot_pause == 0
    }

    pub(crate) fn tick(&mut self) {
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        self.snapshot_pause = self.snapshot_pause.saturating_sub(1);
    }

    /// See [`Node::fingerprint`](crate::raft::Node::fingerprint).
    pub(crate) fn fingerprint<H: Hasher>(&self, options: &Options, to: &mut H) {
        let Self { matched, next, flow, active, round, commit_sent, quiet_ticks, reading, .. } = self;
        // How long it has been silent is told, and decides nothing here.
        let Self { silent_ticks: _, received, full, last_sent, snapshots_failed, snapshot_pause, .. } = self;
        // Beyond an election timeout, the length of a silence makes no difference.
        let quiet_ticks = quiet_ticks.min(&options.election_ticks_min);
        (matched, next, flow, active, round, commit_sent, quiet_ticks, reading).hash(to);
        (received, full, last_sent, snapshots_failed.min(&SNAPSHOT_BACKOFFS_MAX), snapshot_pause).hash(to);
    }

    /// The same without what belongs to it.
    pub(crate) fn state(&self) -> FollowerState {
        match self.flow {
            Flow::Probe { .. } => FollowerState::Probe,
            Flow::Replicate(_) => FollowerState::Replicate,
            Flow::Snapshot => FollowerState::Snapshot,
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
