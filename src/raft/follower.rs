//! How a follower handles its leader's messages (Raft §5.3).

use crate::raft::core::Core;
use crate::raft::entry::Entry;
use crate::raft::message::{Append, Heartbeat, Message};
use crate::raft::next::Next;
use crate::raft::role::Follower;
use crate::raft::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index, NodeId};

impl Follower {
    pub(crate) fn tick(&mut self, core: &Core) -> Next {
        // A candidate has our vote when it is durable, and can win only then.
        if self.leader.is_none() && !core.is_hard_state_durable() {
            return Next::Stay;
        }
        self.elapsed = self.elapsed.saturating_add(1); // A learner may wait forever.
        if self.elapsed < self.timeout || !core.may_stand() {
            return Next::Stay;
        }
        Next::PreCampaign
    }

    /// The leader's connection broke: do not wait out the whole timeout, but still a random time, so that not
    /// all stand for election at once. Only liveness depends on it.
    pub(crate) fn leader_lost(&mut self, core: &mut Core) {
        self.leader = None;
        let soon = core.rng.u32(1..=core.options.heartbeat_ticks.max(2));
        self.timeout = self.timeout.min(self.elapsed.saturating_add(soon));
    }

    pub(crate) fn handle_append(&mut self, core: &mut Core, from: NodeId, append: Append) {
        if core.installing.is_some() {
            return;
        }
        let Append { prev, entries, commit, .. } = append;
        let (prev, entries) = skip_committed(core, prev, entries);
        if !core.log.matches(prev) {
            let hint = core.log.last_agreeable(prev);
            let message = Message::Rejected { term: core.term(), prev: prev.index, hint };
            return core.send(from, message);
        }
        let Some(accepted) = self.accept(core, prev, entries) else { return };
        self.verified = self.verified.max(accepted);
        // Above what was verified, our log may still differ from the leader's.
        core.log.commit_to(commit.min(self.verified));
        self.owes_ack = true;
    }

    /// Merges the entries and returns how far our log is now equal to the leader's. `None` if no leader can
    /// have sent them: they are ignored, since a faulty peer must not break this node.
    fn accept(&self, core: &mut Core, prev: EntryId, entries: Vec<Entry>) -> Option<Index> {
        let last = entries.last().map_or(prev, |entry| entry.id);
        if core.log.matches(last) {
            return Some(last.index);
        }
        if last.term > core.term() || !follow_each_other(prev, &entries) {
            return None;
        }
        let known = entries.iter().take_while(|entry| core.log.matches(entry.id)).count();
        // A leader only appends to its own log (Raft §5.3): what it sent in this term it never replaces.
        if entries.get(known).is_some_and(|entry| entry.id.index <= self.verified) {
            return None;
        }
        let known = entries[..known].last().map_or(prev, |entry| entry.id);
        // Without room we still acknowledge what we hold: that is how we learn how much of it is committed
        // and may be trimmed. Replacing entries needs no room.
        if core.full || known == core.log.last() && core.must_trim_first() {
            return Some(known.index);
        }
        core.log.merge(entries);
        Some(last.index)
    }

    pub(crate) fn handle_heartbeat(&mut self, core: &mut Core, from: NodeId, heartbeat: Heartbeat) {
        let Heartbeat { commit, round, .. } = heartbeat;
        if core.installing.is_none() {
            // The leader caps it at what we acknowledged to it in this term, and
            // such entries stay until the term ends: they need no new check, even after a restart.
            core.log.commit_to(commit.min(core.log.last().index));
            self.verified = self.verified.max(core.log.commit());
        }
        let (received, full) = self.standing(core);
        let message = Message::HeartbeatAck { term: core.term(), round, received, full };
        core.send(from, message);
    }

    /// How far our log is known to be equal to the leader's, and whether there is no room for more.
    pub(crate) fn standing(&self, core: &Core) -> (Index, bool) {
        // A suffix that may differ from the leader's log can be replaced without room.
        let full = core.full || core.must_trim_first() && self.verified >= core.log.last().index;
        (self.verified, full)
    }

    /// A snapshot has arrived and was verified.
    pub(crate) fn handle_snapshot(&mut self, core: &mut Core, meta: SnapshotMeta) {
        self.owes_ack = true;
        if core.installing.is_some() || meta.last.index <= core.log.commit() || meta.last.term > core.term() {
            return; // Stale, or another one is being installed.
        }
        if core.log.matches(meta.last) {
            // The log already holds everything in it.
            core.log.commit_to(meta.last.index);
            self.verified = self.verified.max(meta.last.index);
            return;
        }
        core.effects.install = Some(meta.clone());
        core.installing = Some(meta);
    }

    /// Acknowledges what is both verified and durable: an entry that is only in memory, even if it was sent
    /// twice, must not count towards a majority.
    pub(crate) fn acknowledge(&mut self, core: &mut Core) {
        let Some(leader) = self.leader else { return };
        if !self.owes_ack || core.installing.is_some() || !core.is_hard_state_durable() {
            return;
        }
        let matched = self.verified.min(core.log.durable());
        self.owes_ack = matched < self.verified;
        if !self.owes_ack || matched > self.acknowledged {
            self.acknowledged = matched;
            core.send(leader, Message::Accepted { term: core.term(), matched });
        }
    }
}

/// Whether the entries continue `prev` without gaps and with terms that never fall.
fn follow_each_other(prev: EntryId, entries: &[Entry]) -> bool {
    let before = std::iter::once(prev).chain(entries.iter().map(|entry| entry.id));
    before
        .zip(entries)
        .all(|(before, entry)| entry.id.index == before.index.next() && entry.id.term >= before.term)
}

/// Leaves out entries known to be committed: there our log equals that of any leader, and may be compacted.
/// Compacted entries are never a conflict.
fn skip_committed(core: &Core, prev: EntryId, mut entries: Vec<Entry>) -> (EntryId, Vec<Entry>) {
    let commit = core.log.commit();
    if prev.index >= commit {
        return (prev, entries);
    }
    let term = core.log.term_at(commit).expect("what is committed and not compacted is in the log");
    entries.retain(|entry| entry.id.index > commit);
    (EntryId { term, index: commit }, entries)
}
