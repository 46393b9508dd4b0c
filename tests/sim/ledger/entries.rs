//! Log matching (Raft §5.3): an entry's id names one payload and one predecessor,
//! wherever it is met: in a message, on a disk, in a log. If every entry has one
//! predecessor, two logs that share an entry share all before it.

use crate::sim::ledger::lives::Life;
use kontiki::raft::{Append, Entry, Node, Payload};
use kontiki::storage::RestoredLog;
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;

/// What is known of each entry that ever existed.
#[derive(Debug, Default)]
pub struct Entries {
    known: BTreeMap<EntryId, Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The term of the entry before it.
    previous: Option<Term>,
    payload: Option<u64>,
}

impl Entries {
    /// An entry was seen somewhere.
    pub fn met(&mut self, entry: &Entry) {
        let hash = hash(&entry.payload);
        let known = *self.known.entry(entry.id).or_default().payload.get_or_insert(hash);
        assert_eq!(known, hash, "entry {} has two contents (log matching)", entry.id);
    }

    /// An entry was seen behind another one.
    fn follows(&mut self, id: EntryId, previous: Term) {
        let known = *self.known.entry(id).or_default().previous.get_or_insert(previous);
        assert_eq!(known, previous, "entry {id} has two predecessors (log matching)");
    }

    /// The hash of an entry's content, if it was ever seen.
    pub fn payload(&self, id: EntryId) -> Option<u64> {
        self.known.get(&id)?.payload
    }

    pub fn sent(&mut self, append: &Append) {
        let mut previous = append.prev;
        for entry in &append.entries {
            assert_eq!(entry.id.index, previous.index.next(), "an append has a gap: {append:?}");
            self.met(entry);
            self.follows(entry.id, previous.term);
            previous = entry.id;
        }
    }

    /// What a disk gave back must have been written.
    pub fn restored(&mut self, id: NodeId, log: &RestoredLog) {
        let mut previous = log.base;
        for entry in &log.entries {
            assert!(self.known.contains_key(&entry.id), "n{id} restored {}, which never was", entry.id);
            self.met(entry);
            self.follows(entry.id, previous.term);
            previous = entry.id;
        }
    }

    /// A node's log, where it has changed since its last step.
    pub fn compare(&mut self, node: &Node, life: &mut Life) {
        let (base, last) = (node.base(), node.last());
        if life.log_seen == (base, last) {
            return;
        }
        // New entries are above the previous last entry, or replace earlier ones.
        let unchanged = life.log_seen.1;
        let mut index = last.index;
        while index > base.index {
            let term = node.term_at(index).expect("within the log");
            if (EntryId { term, index }) == unchanged {
                break;
            }
            let before = Index(index.0 - 1);
            let previous = node.term_at(before).expect("within the log");
            self.follows(EntryId { term, index }, previous);
            index = before;
        }
        life.log_seen = (base, last);
    }
}

/// A number for a content.
pub fn hash(payload: &Payload) -> u64 {
    match payload {
        Payload::Noop => 1,
        Payload::Command(bytes) => hash_command(bytes),
        Payload::Members(members) => hash_command(format!("{members:?}").as_bytes()) | 1,
    }
}

/// A number for a command.
pub fn hash_command(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash & !1
}
