//! Equal applied index, equal state: the state machine's rolling hash covers every record ever written, so
//! one number per index is enough.

use kontiki::machine::View;
use kontiki::types::{Index, NodeId, Revision};
use std::collections::BTreeMap;

/// The state at each applied index, by whoever was there first.
#[derive(Debug, Default)]
pub struct States {
    known: BTreeMap<Index, State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    hash: u128,
    revision: Revision,
    compacted: Revision,
}

impl States {
    /// A node shows this state.
    pub fn saw(&mut self, id: NodeId, view: &View) {
        let index = view.applied().index;
        let state =
            State { hash: view.state_hash(), revision: view.revision(), compacted: view.compact_revision() };
        if let Some(known) = self.known.get(&index) {
            assert_eq!(*known, state, "n{id} has another state at {}", view.applied());
            return;
        }
        let (below, above) = (self.known.range(..index).next_back(), self.known.range(index..).next());
        for (other, known) in below.into_iter().chain(above) {
            let rises =
                (*other < index) == (known.revision < state.revision) || known.revision == state.revision;
            assert!(rises, "revisions fall: {} at {index}, {} at {other}", state.revision, known.revision);
        }
        self.known.insert(index, state);
    }
}
