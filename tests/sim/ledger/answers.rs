//! What was acknowledged is committed, in the place that the answer named, and
//! nowhere else: no write is lost and none is done twice.

use crate::sim::ledger::Held;
use crate::sim::ledger::commits::{Commits, holds};
use crate::sim::ledger::entries::{Entries, hash_command};
use bytes::Bytes;
use kontiki::types::{EntryId, NodeId, Revision};
use std::collections::BTreeMap;

/// All acknowledged writes.
#[derive(Debug, Default)]
pub struct Answers {
    by_place: BTreeMap<EntryId, Revision>,
}

impl Answers {
    /// A replica acknowledged a write: that command, and no other, is committed in that place.
    pub fn acknowledged(
        &mut self,
        command: &Bytes,
        id: EntryId,
        revision: Revision,
        commits: &Commits,
        entries: &Entries,
    ) {
        assert_eq!(commits.at(id.index), Some(id), "{id} was acknowledged but is not committed");
        let here = entries.payload(id);
        assert_eq!(here, Some(hash_command(command)), "{id} was acknowledged as another command");
        let before = self.by_place.insert(id, revision);
        assert_eq!(before, None, "{id} was acknowledged twice");
    }

    pub fn len(&self) -> u64 {
        self.by_place.len() as u64
    }

    /// At the end: a node that has caught up has everything ever acknowledged on its disk.
    pub fn check_kept(&self, node: NodeId, held: &Held) {
        for id in self.by_place.keys() {
            assert!(holds(held, *id), "{id} was acknowledged, and n{node} does not have it at the end");
        }
    }
}
