//! How much of the log is kept although the durable state covers it.
//!
//! The kept entries save lagging followers a whole snapshot (Raft §7). What a peer needs once its snapshot has
//! arrived is kept as well, or it would need another one, forever.

use crate::raft::{Entry, FollowerProgress, Persist};
use crate::replica::options::Retention;
use crate::types::{EntryId, FollowerState, Index, NodeId};
use std::collections::{BTreeMap, VecDeque};

/// Into about how many pieces the kept part is divided: the log is compacted a piece at a time.
const PIECES: u64 = 32;
/// While peers receive snapshots the log may grow to this many times its usual size.
const SNAPSHOT_FACTOR: u64 = 4;
/// And to this many while a follower lags that would need a snapshot otherwise. Beyond that it will get one, and is not
/// waited for any more.
const LAGGARD_FACTOR: u64 = 3;

#[derive(Debug)]
pub(crate) struct LogRetention {
    keep: Retention,
    /// Places where the log may be cut, ascending. The first is its beginning; never empty.
    cuts: VecDeque<Cut>,
    /// The size of all entries that were written.
    bytes: u64,
    /// The last entry of the snapshot that a peer is getting.
    needed: BTreeMap<NodeId, Index>,
    /// Where the log began when this node became leader, if it is.
    began: Option<Index>,
}

/// An entry, and the total size up to it.
#[derive(Clone, Copy, Debug)]
struct Cut {
    id: EntryId,
    bytes: u64,
}

impl LogRetention {
    /// For a log that begins after `base`. The size of what was not loaded is unknown, and counts as 0.
    pub(crate) fn new(keep: Retention, base: EntryId, loaded: &[Entry]) -> Self {
        let cuts = VecDeque::from([Cut { id: base, bytes: 0 }]);
        let mut retention = Self { keep, cuts, bytes: 0, needed: BTreeMap::new(), began: None };
        retention.append(loaded);
        retention
    }

    /// The log was given something to write.
    pub(crate) fn wrote(&mut self, Persist { reset, entries, .. }: &Persist) {
        if let Some(base) = *reset {
            self.cuts = VecDeque::from([Cut { id: base, bytes: self.bytes }]);
        }
        if let Some(first) = entries.first() {
            // They replace what was there.
            while self.cuts.len() > 1 && self.last().id.index >= first.id.index {
                self.cuts.pop_back();
                self.bytes = self.last().bytes;
            }
        }
        self.append(entries);
    }

    fn append(&mut self, entries: &[Entry]) {
        let (bytes, count) = (self.keep.bytes as u64 / PIECES, self.keep.entries / PIECES);
        for entry in entries {
            self.bytes += entry.size() as u64;
            let last = self.last();
            if self.bytes - last.bytes > bytes || entry.id.index.0 - last.id.index.0 > count {
                self.cuts.push_back(Cut { id: entry.id, bytes: self.bytes });
            }
        }
    }

    fn last(&self) -> Cut {
        *self.cuts.back().expect("never empty")
    }

    /// A peer is getting a snapshot that ends there.
    pub(crate) fn snapshot_begins(&mut self, peer: NodeId, end: Index) {
        self.needed.insert(peer, end);
    }

    /// The peer did not get it. The next one will be newer.
    pub(crate) fn snapshot_failed(&mut self, peer: NodeId) {
        self.needed.remove(&peer);
    }

    /// The entry up to which the log may be compacted now, if it changed. The durable state covers everything
    /// up to `covered`.
    pub(crate) fn forget(&mut self, covered: Index, followers: &[FollowerProgress]) -> Option<EntryId> {
        let begins = self.cuts.front()?.id.index;
        self.began = if followers.is_empty() { None } else { self.began.or(Some(begins)) };
        let limit = covered.min(self.spared(followers));
        let reached = self.cuts.iter().take_while(|cut| cut.id.index <= covered).last()?.bytes;
        let laggard = self.laggard(followers);
        let mut news = None;
        while let Some(next) = self.cuts.get(1).copied() {
            let (entries, bytes) =
                (covered.0.saturating_sub(next.id.index.0), reached.saturating_sub(next.bytes));
            let is_needed = laggard.is_some_and(|matched| matched < next.id.index);
            let times = if is_needed { LAGGARD_FACTOR } else { 1 };
            let is_enough = entries >= self.keep.entries.saturating_mul(times)
                || bytes >= (self.keep.bytes as u64).saturating_mul(times);
            if next.id.index > limit || !is_enough {
                break;
            }
            self.cuts.pop_front();
            news = Some(next.id);
        }
        news
    }

    /// How far the follower is that is furthest behind, of those that still can be caught up from the log. Of whom
    /// nothing is known yet may need all that there was when this node became leader.
    fn laggard(&self, followers: &[FollowerProgress]) -> Option<Index> {
        let begins = self.cuts.front()?.id.index;
        let unknown = self.began.unwrap_or(begins);
        let matched = followers.iter().map(|follower| match follower.matched {
            Index(0) => unknown,
            matched => matched,
        });
        matched.filter(|matched| *matched >= begins).min()
    }

    /// The index up to which no receiver of a snapshot needs the log.
    fn spared(&mut self, followers: &[FollowerProgress]) -> Index {
        self.needed.retain(|peer, end| {
            let waits = |follower: &FollowerProgress| {
                follower.state != FollowerState::Replicate && follower.matched < *end
            };
            followers.iter().any(|follower| follower.node == *peer && waits(follower))
        });
        let kept_bytes = self.bytes - self.cuts.front().map_or(0, |cut| cut.bytes);
        let needed = self.needed.values().min().copied();
        needed
            .filter(|_| kept_bytes < SNAPSHOT_FACTOR.saturating_mul(self.keep.bytes as u64))
            .unwrap_or(Index(u64::MAX))
    }
}
