//! One node by itself: in one life of its process nothing goes back; between two
//! lives no promise is lost; `compacted ≤ durable state ≤ applied ≤ commit ≤ last`; and
//! memory is bounded.

use crate::sim::ledger::Held;
use crate::sim::ledger::commits::{Commits, holds};
use kontiki::machine::View;
use kontiki::raft::{Node, RoleName};
use kontiki::storage::RestoredLog;
use kontiki::types::{EntryId, Index, NodeId, Revision, Term};

/// What was seen of a node since its process began.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    term: Term,
    commit: Index,
    applied: Index,
    revision: Revision,
    compacted: Index,
    base: Index,
    /// Base and last entry of the log that was compared last.
    pub log_seen: (EntryId, EntryId),
    /// The term in which it led when it was last seen.
    pub led: Option<Term>,
    /// Up to where its commit index was compared.
    pub commit_seen: Index,
}

/// What a node's memory is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of the log's tail, in bytes…
    pub tail_bytes: usize,
    /// …and entries.
    pub tail_entries: u64,
    /// Requests at work.
    pub requests: usize,
    /// A state that is ahead of the log, since it was just installed.
    pub installed: Option<EntryId>,
}

impl Life {
    pub fn begin(node: &Node, view: &View) -> Self {
        Self {
            term: node.hard_state().term,
            commit: node.commit(),
            applied: view.applied().index,
            revision: view.revision(),
            compacted: node.compacted(),
            base: node.base().index,
            log_seen: (node.base(), node.base()),
            led: None,
            commit_seen: node.base().index,
        }
    }

    /// A step was taken.
    pub fn advance(&mut self, node: &Node, view: &View, held: &Held, bounds: Bounds) {
        let id = node.id();
        let now = Self {
            term: node.hard_state().term,
            commit: node.commit(),
            applied: view.applied().index,
            revision: view.revision(),
            compacted: node.compacted(),
            base: node.base().index,
            led: (node.role() == RoleName::Leader).then(|| node.hard_state().term),
            ..*self
        };
        assert!(now.term >= self.term, "n{id}: the term fell from {} to {}", self.term, now.term);
        assert!(now.commit >= self.commit, "n{id}: the commit index fell");
        assert!(now.applied >= self.applied, "n{id}: the applied index fell");
        assert!(now.revision >= self.revision, "n{id}: the revision fell");
        assert!(now.base >= self.base, "n{id}: the tail of the log grew at its beginning");
        assert!(now.compacted >= self.compacted, "n{id}: the log grew at its beginning");
        let durable = held.applied.index;
        let last = node.last().index;
        assert!(
            now.compacted <= durable,
            "n{id}: the log begins at {}, the durable state ends at {durable}",
            now.compacted
        );
        assert!(durable <= now.applied, "n{id}: {durable} is durable but only {} is applied", now.applied);
        if bounds.installed != Some(view.applied()) {
            assert!(now.applied <= now.commit, "n{id}: {} is applied, {} committed", now.applied, now.commit);
        }
        assert!(now.commit <= last, "n{id}: {} is committed, the log ends at {last}", now.commit);
        let (bytes, entries) = (node.tail_bytes(), last.0 - now.base.0);
        assert!(bytes <= bounds.tail_bytes, "n{id}: {bytes} bytes of log in memory");
        assert!(entries <= bounds.tail_entries, "n{id}: {entries} entries of log in memory");
        *self = now;
    }
}

/// While a node runs its disk may lose what a newer leader overwrites, but nothing that is committed.
pub fn lost_nothing(id: NodeId, before: &Held, now: &Held, commits: &Commits) {
    if std::sync::Arc::ptr_eq(&before.log, &now.log) {
        return;
    }
    let lost = now.log.first_lacking(&before.log).filter(|entry| entry.index > now.applied.index);
    if let Some(entry) = lost {
        assert_ne!(
            commits.at(entry.index),
            Some(entry),
            "n{id} drops {entry} from its disk, which is committed"
        );
    }
}

/// What was durable before a crash is there after it: term and vote, and every
/// committed entry. (What is not committed may have been overwritten.)
pub fn kept(
    id: NodeId,
    before: &Held,
    restored: &RestoredLog,
    applied: EntryId,
    commits: &Commits,
    was_damaged: bool,
) {
    let (was, is) = (before.hard_state, restored.hard_state);
    assert!(is.term >= was.term, "n{id} forgot term {}: it begins in {}", was.term, is.term);
    if is.term == was.term && was.vote.is_some() {
        assert_eq!(is.vote, was.vote, "n{id} forgot its vote in term {}", was.term);
    }
    let fell_back = applied.index < before.applied.index;
    assert!(!fell_back || was_damaged, "n{id} lost its state behind {applied}");
    let last = restored.last();
    for entry in commits.from(applied.index.next()) {
        if !holds(before, *entry) {
            break;
        }
        assert!(last.index >= entry.index, "n{id} lost {entry}, which was durable and committed");
    }
}
