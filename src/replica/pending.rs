//! Who waits for which entry.

use crate::raft::Entry;
use crate::replica::error::WriteError;
use crate::replica::waiters::WriteWaiter;
use crate::types::{EntryId, Index};
use std::collections::BTreeMap;

/// Writes that were proposed and not yet committed, by their place in the log.
///
/// A place can have several: an entry that this node proposed as leader may have been overwritten, and
/// another one proposed in its place, before the fate of either is known.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    by_place: BTreeMap<(Index, EntryId), WriteWaiter>,
}

/// A committed entry with its waiter.
pub(crate) type Committed = (Entry, Option<WriteWaiter>);

impl Pending {
    pub(crate) fn wait(&mut self, id: EntryId, waiter: WriteWaiter) {
        self.by_place.insert((id.index, id), waiter);
    }

    /// Joins committed entries with their waiters. Waiters for other entries in these places learn that those
    /// will never be applied.
    pub(crate) fn join(&mut self, entries: Vec<Entry>) -> Vec<Committed> {
        entries.into_iter().map(|entry| self.join_one(entry)).collect()
    }

    fn join_one(&mut self, entry: Entry) -> Committed {
        let mut waiter = None;
        while let Some(first) = self.by_place.first_entry() {
            let (index, id) = *first.key();
            if index > entry.id.index {
                break;
            }
            let reply = first.remove();
            if id == entry.id {
                waiter = Some(reply);
            } else {
                reply.answer(Err(WriteError::Superseded));
            }
        }
        (entry, waiter)
    }

    /// A snapshot skipped these places: what was applied there is not known.
    pub(crate) fn jump(&mut self, through: Index) {
        while let Some(first) = self.by_place.first_entry() {
            if first.key().0 > through {
                return;
            }
            first.remove().answer(Err(WriteError::Unknown(
                "a snapshot replaced the log before the write's entry was seen to be committed",
            )));
        }
    }

    /// Answers all waiters, as the node stops.
    pub(crate) fn abandon(&mut self) {
        for (_, reply) in std::mem::take(&mut self.by_place) {
            reply.answer(Err(WriteError::Unknown("the node stopped before the write was committed")));
        }
    }
}
