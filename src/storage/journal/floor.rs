//! How much of the journal nobody needs any more.

use crate::raft::HardState;
use crate::storage::codec::{self, Malformed};
use crate::types::{EntryId, NodeId, Term};
use bytes::{Buf as _, BufMut as _};

/// What compaction has made superfluous before the store got it. Durable in the header of a segment, it stands for all
/// records up to `number`: a start whose store is not as far begins here, and the store does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// The last record that is not needed. Its log ended at or below `base`.
    pub number: u64,
    /// The log begins after this entry.
    pub base: EntryId,
    /// Term and vote at that record, or at a later one.
    pub hard_state: HardState,
}

impl Floor {
    pub(crate) const BYTES: usize = 8 + 16 + 17;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.number);
        codec::put_entry_id(out, self.base);
        out.put_u64(self.hard_state.term.get());
        out.put_u8(u8::from(self.hard_state.vote.is_some()));
        out.put_u64(self.hard_state.vote.unwrap_or_default().get());
    }

    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let (number, base) = (bytes.try_get_u64()?, codec::get_entry_id(bytes)?);
        let term = Term(bytes.try_get_u64()?);
        let voted = bytes.try_get_u8()? != 0;
        let vote = NodeId(bytes.try_get_u64()?);
        Ok(Self { number, base, hard_state: HardState { term, vote: voted.then_some(vote) } })
    }
}
