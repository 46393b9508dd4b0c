//! The state at one applied index, but for the values.

use crate::kv::index::{Index, NEWEST};
use crate::kv::meta::Meta;
use crate::kv::model::Refusal;
use crate::kv::read_error::ReadError;
use crate::kv::record::{Position, Record};
use crate::types::Revision;

/// Everything that is in memory. Cloning it is cheap and a clone never changes.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// Which versions there are.
    pub(crate) index: Index,
    /// How far it has come.
    pub(crate) meta: Meta,
}

impl State {
    /// The revision at which to read, if it can be read.
    pub(crate) fn readable(&self, requested: Option<Revision>) -> Result<Revision, Refusal> {
        let (oldest, current) = (self.meta.compact_revision, self.meta.revision);
        match requested {
            // Not `current`: inside a transaction, its own changes are seen too.
            None => Ok(NEWEST),
            Some(requested) if requested > current => Err(Refusal::FutureRevision { requested, current }),
            Some(requested) if requested < oldest => Err(Refusal::Compacted { requested, oldest }),
            Some(requested) => Ok(requested),
        }
    }
}

/// Where the values are.
pub(crate) trait Values {
    /// The record at a position that the index names, for a read at the revision `wanted`.
    fn record(&self, at: Position, wanted: Revision) -> Result<Record, ReadError>;
}
