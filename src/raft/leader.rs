//! What a leader does: replicate, count, confirm, hand over (Raft §5.3, §5.4; thesis §3.10, §6).

use crate::raft::core::Core;
use crate::raft::effects::{LogRead, LogSlice};
use crate::raft::entry::{Entry, Payload};
use crate::raft::log::Availability;
use crate::raft::message::{Append, Heartbeat, Message, Round};
use crate::raft::next::Next;
use crate::raft::options::Options;
use crate::raft::progress::{Flow, Progress};
use crate::raft::reads::Reads;
use crate::types::{EntryId, Index, NodeId};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// The state of a leader.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub(crate) progress: BTreeMap<NodeId, Progress>,
    pub(crate) reads: Reads,
    pub(crate) transfer: Option<Transfer>,
    /// The index of the no-op that opened the term.
    first: Index,
    heartbeat_elapsed: u32,
    quorum_elapsed: u32,
    /// Whether a round has confirmed reads since the last tick.
    reads_lately: bool,
}

/// A transfer of leadership under way.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Transfer {
    pub(crate) to: NodeId,
    elapsed: u32,
    pub(crate) sent: bool,
}

impl Leader {
    pub(crate) fn new(core: &mut Core) -> Self {
        let last = core.log.last().index;
        let progress = core.peers().into_iter().map(|peer| (peer, Progress::new(last))).collect();
        // Entries of older terms can only be committed together with one of
        // this term (Raft §5.4.2); clients may not propose one for a long time.
        let first = core.log.push(core.term(), Payload::Noop).index;
        let mut leader = Self {
            progress,
            reads: Reads::default(),
            transfer: None,
            first,
            heartbeat_elapsed: 0,
            quorum_elapsed: 0,
            reads_lately: false,
        };
        leader.heartbeat(core);
        leader
    }

    /// Whether an entry of its term is committed.
    pub(crate) fn has_committed(&self, core: &Core) -> bool {
        core.log.commit() >= self.first
    }

    /// See [`Node::fingerprint`](crate::raft::Node::fingerprint).
    pub(crate) fn fingerprint<H: Hasher>(&self, options: &Options, to: &mut H) {
        let Self { progress, reads, transfer, first, heartbeat_elapsed, quorum_elapsed, reads_lately } = self;
        (reads, transfer, first, heartbeat_elapsed, quorum_elapsed, reads_lately).hash(to);
        for (peer, progress) in progress {
            peer.hash(to);
            progress.fingerprint(options, to);
        }
    }

    pub(crate) fn into_reads(self) -> Reads {
        self.reads
    }

    pub(crate) fn tick(&mut self, core: &mut Core) -> Next {
        for progress in self.progress.values_mut() {
            progress.tick();
        }
        self.heartbeat_elapsed += 1;
        self.reads_lately = false;
        if self.heartbeat_elapsed >= core.options.heartbeat_ticks {
            self.heartbeat(core);
        } else {
            self.send_commit_index(core);
        }
        self.tick_transfer(core);
        // A leader whose disk hangs can hardly commit anything, but its heartbeats would keep others from taking over.
        if core.is_disk_stalled() || !self.tick_quorum(core) {
            return Next::Follow(None);
        }
        Next::Stay
    }

    /// Check-quorum (thesis §6.2): a leader that does not hear from a majority for an election timeout steps
    /// down, since another may have been elected.
    fn tick_quorum(&mut self, core: &Core) -> bool {
        self.quorum_elapsed += 1;
        if self.quorum_elapsed < core.options.election_ticks_min {
            return true;
        }
        self.quorum_elapsed = 0;
        let active =
            |node| node == core.id || self.progress.get(&node).is_some_and(|progress| progress.active);
        let has_quorum = core.log.members().is_quorum(active);
        for progress in self.progress.values_mut() {
            progress.active = false;
        }
        has_quorum
    }

    fn tick_transfer(&mut self, core: &Core) {
        if let Some(transfer) = &mut self.transfer {
            transfer.elapsed += 1;
            if transfer.elapsed >= core.options.election_ticks_max {
                self.transfer = None;
            }
        }
    }

    fn heartbeat(&mut self, core: &mut Core) {
        self.heartbeat_elapsed = 0;
        for (peer, progress) in &mut self.progress {
            send_heartbeat(core, *peer, progress, self.reads.round());
        }
    }

    /// Sends the commit index to the followers that no append has brought it to.
    fn send_commit_index(&mut self, core: &mut Core) {
        for (peer, progress) in &mut self.progress {
            if is_behind(core, progress) {
                send_heartbeat(core, *peer, progress, self.reads.round());
            }
        }
    }

    /// A follower answered us in our term. Only answers count: a node that asks for votes is alive too, but
    /// does not hear us.
    fn heard(&mut self, from: NodeId) -> Option<&mut Progress> {
        let progress = self.progress.get_mut(&from)?;
        progress.active = true;
        progress.silent_ticks = 0;
        Some(progress)
    }

    pub(crate) fn handle_accepted(&mut self, core: &mut Core, from: NodeId, matched: Index) {
        let Some(progress) = self.heard(from) else { return };
        if matched > core.log.last().index {
            return; // Nobody can hold more of our log than we do.
        }
        if progress.accepted(matched) {
            self.advance_commit(core);
        }
        self.finish_transfer(core);
    }

    pub(crate) fn handle_rejected(&mut self, core: &Core, from: NodeId, prev: Index, hint: EntryId) {
        let Some(progress) = self.heard(from) else { return };
        // The logs can agree no higher than our last entry whose term is not
        // above the hint's.
        let agree = core.log.last_agreeable(hint);
        progress.rejected(prev, agree.index);
    }

    pub(crate) fn handle_heartbeat_ack(
        &mut self,
        core: &mut Core,
        from: NodeId,
        round: Round,
        received: Index,
        full: bool,
    ) {
        let asked = self.reads.round();
        let Some(progress) = self.heard(from) else { return };
        if round > asked || received > core.log.last().index {
            return; // A round that was never asked for, or more of our log than there is.
        }
        progress.round = progress.round.max(round);
        if let Some(prev) = progress.heartbeat_answered(received, full, &core.options) {
            send_append(core, from, progress, prev, Vec::new());
        }
        self.confirm_reads(core);
    }

    pub(crate) fn unreachable(&mut self, peer: NodeId) {
        if let Some(progress) = self.progress.get_mut(&peer)
            && matches!(progress.flow, Flow::Replicate(_))
        {
            progress.probe_behind_received();
        }
    }

    /// The sending of a snapshot ended; on success the peer's state includes `applied`.
    pub(crate) fn snapshot_sent(&mut self, core: &mut Core, peer: NodeId, applied: Option<Index>) {
        let Some(progress) = self.progress.get_mut(&peer) else { return };
        if !matches!(progress.flow, Flow::Snapshot) {
            return;
        }
        // A peer that refused it because it has more than that is found by what it has told since.
        progress.probe_behind_received();
        let Some(applied) = applied else { return progress.snapshot_failed(&core.options) };
        progress.snapshot_arrived();
        // Only its own acknowledgement moves `matched`; this is where to probe.
        progress.next = applied.next().min(core.log.last().index.next()).max(progress.matched.next());
    }

    /// The entries that were to be read for a follower; `None` if they were compacted meanwhile.
    pub(crate) fn log_read(&mut self, core: &mut Core, read: LogRead, slice: Option<LogSlice>) {
        let may_snapshot = self.may_snapshot();
        let Some(progress) = self.progress.get_mut(&read.to) else { return };
        assert_eq!(progress.reading.take(), Some(read.from), "one read at a time for each follower");
        let (appends_max, bytes_max) = (core.options.inflight_appends_max, core.options.inflight_bytes_max);
        // Meanwhile the follower may have turned out to need other entries, or a snapshot.
        if progress.next != read.from || !progress.is_open(appends_max, bytes_max) {
            return;
        }
        let Some(LogSlice { prev, mut entries }) = slice else {
            if may_snapshot && progress.may_get_snapshot() {
                send_snapshot(core, read.to, progress);
            }
            return; // Else later: by then it is known to be compacted.
        };
        // Everything below the tail is committed, so the store holds the same there, whoever led when it was
        // written. Above, it may lag and still hold what was overwritten (Raft §5.3).
        let base = core.log.base().index;
        entries.retain(|entry| entry.id.index <= base);
        entries.truncate(core.options.append_entries_max);
        assert_eq!(prev.index.next(), read.from, "the slice is not the one that was asked for");
        send_append(core, read.to, progress, prev, entries);
    }

    /// Commits what a majority holds durably (our own disk counts as one), if it ends with an entry of our
    /// term (Raft §5.4.2, figure 8).
    pub(crate) fn advance_commit(&mut self, core: &mut Core) {
        let matched = |node| {
            if node == core.id {
                core.log.durable()
            } else {
                self.progress.get(&node).map_or(Index(0), |progress| progress.matched)
            }
        };
        let index = core.log.members().quorum_index(matched);
        if index > core.log.commit() && core.log.term_at(index) == Some(core.term()) {
            core.log.commit_to(index);
        }
    }

    fn confirm_reads(&mut self, core: &mut Core) {
        let confirmed = |round: Round| {
            let answered = |node| {
                node == core.id || self.progress.get(&node).is_some_and(|progress| progress.round >= round)
            };
            core.log.members().is_quorum(answered)
        };
        let ready = self.reads.confirm(confirmed);
        core.effects.reads.extend(ready);
    }

    pub(crate) fn begin_transfer(&mut self, core: &mut Core, to: NodeId) {
        self.transfer = Some(Transfer { to, elapsed: 0, sent: false });
        self.finish_transfer(core);
    }

    /// Tells the target to stand once it holds everything (thesis §3.10).
    fn finish_transfer(&mut self, core: &mut Core) {
        let Some(transfer) = &mut self.transfer else { return };
        let caught_up =
            self.progress.get(&transfer.to).is_some_and(|progress| progress.matched == core.log.last().index);
        if caught_up && !transfer.sent {
            transfer.sent = true;
            core.send(transfer.to, Message::TimeoutNow { term: core.term() });
        }
    }

    /// One snapshot at a time: each takes the whole state through the disk and the network.
    fn may_snapshot(&self) -> bool {
        !self.progress.values().any(|progress| matches!(progress.flow, Flow::Snapshot))
    }

    /// Sends everything that may be sent: once per turn, after all inputs.
    pub(crate) fn flush(&mut self, core: &mut Core) {
        // Before our first entry is committed we may not know everything that our predecessor acknowledged
        // (thesis §6.4).
        let knows_all = self.has_committed(core);
        let begins = knows_all && self.reads.begin(core.log.commit());
        let round = self.reads.round();
        self.reads_lately |= begins;
        // A read on a follower waits until the commit index that was confirmed for it arrives there.
        let at_once = core.options.commit_at_once || self.reads_lately;
        let mut may_snapshot = self.may_snapshot();
        for (peer, progress) in &mut self.progress {
            replicate(core, *peer, progress, &mut may_snapshot);
            if begins || at_once && is_behind(core, progress) {
                send_heartbeat(core, *peer, progress, round);
            }
        }
        if begins {
            self.confirm_reads(core); // A cluster of one asks nobody.
        }
    }
}

/// Whether there is a later commit index to send than the one that was sent.
fn is_behind(core: &Core, progress: &Progress) -> bool {
    core.log.commit().min(progress.matched) > progress.commit_sent
}

/// Sends a heartbeat to one peer.
fn send_heartbeat(core: &mut Core, peer: NodeId, progress: &mut Progress, round: Round) {
    // Not above what the follower is known to hold: it could not check the rest.
    let commit = core.log.commit().min(progress.matched);
    progress.commit_sent = progress.commit_sent.max(commit);
    core.send(peer, Message::Heartbeat(Heartbeat { term: core.term(), commit, round }));
}

/// Fills the pipeline to one peer.
fn replicate(core: &mut Core, peer: NodeId, progress: &mut Progress, may_snapshot: &mut bool) {
    let (appends_max, bytes_max) = (core.options.inflight_appends_max, core.options.inflight_bytes_max);
    while progress.is_open(appends_max, bytes_max) {
        let caught_up = progress.next > core.log.last().index;
        if caught_up && matches!(progress.flow, Flow::Replicate(_)) {
            if progress.matched.next() == progress.next {
                progress.quiet_ticks = 0;
            }
            return;
        }
        match core.log.availability_of(progress.next) {
            Availability::Memory => send_from_memory(core, peer, progress),
            Availability::Store => read_log(core, peer, progress),
            Availability::Gone if *may_snapshot && progress.may_get_snapshot() => {
                send_snapshot(core, peer, progress);
                *may_snapshot = false;
            }
            Availability::Gone => return,
        }
    }
}

fn send_from_memory(core: &mut Core, peer: NodeId, progress: &mut Progress) {
    let index = progress.next.previous();
    let term = core.log.term_at(index).expect("the entry before one in memory is known");
    let entries =
        core.log.slice(progress.next, core.options.append_bytes_max, core.options.append_entries_max);
    send_append(core, peer, progress, EntryId { term, index }, entries);
}

/// The follower is behind the tail but not behind the log: the store has what it needs.
fn read_log(core: &mut Core, peer: NodeId, progress: &mut Progress) {
    let (from, bytes_max) = (progress.next, core.options.append_bytes_max);
    progress.reading = Some(from);
    core.effects.read_log.push(LogRead { to: peer, term: core.term(), from, bytes_max });
}

/// What the follower needs is compacted: it gets the state instead (Raft §7).
fn send_snapshot(core: &mut Core, peer: NodeId, progress: &mut Progress) {
    progress.flow = Flow::Snapshot;
    core.effects.send_snapshots.push(peer);
}

fn send_append(core: &mut Core, peer: NodeId, progress: &mut Progress, prev: EntryId, entries: Vec<Entry>) {
    let last = entries.last().map_or(prev, |entry| entry.id);
    let bytes = entries.iter().map(Entry::size).sum();
    let commit = core.log.commit();
    progress.sent(prev, last, bytes);
    // The message tells it the commit index only as far as these entries reach.
    progress.commit_sent = progress.commit_sent.max(commit.min(last.index));
    core.send(peer, Message::Append(Append { term: core.term(), prev, entries, commit }));
}
