//! What a read may see.

use crate::kv::index::SharedIndex;
use crate::kv::model::Refusal;
use crate::kv::read_error::ReadError;
use crate::kv::record::Record;
use crate::kv::revisions::Revisions;
use crate::kv::version::Position;
use crate::types::Revision;

/// The versions of the index up to a revision.
#[derive(Clone, Copy)]
pub(crate) struct Horizon<'a> {
    /// All versions, including newer ones.
    pub(crate) index: &'a SharedIndex,
    /// The current and the compacted revision.
    pub(crate) revisions: Revisions,
    /// The revision of a read of the present. Inside a transaction, it includes the transaction's own changes.
    pub(crate) newest: Revision,
}

impl Horizon<'_> {
    /// The revision at which to read, or a refusal.
    pub(crate) fn readable(&self, requested: Option<Revision>) -> Result<Revision, Refusal> {
        let (oldest, current) = (self.revisions.compacted, self.revisions.current);
        match requested {
            None => Ok(self.newest),
            Some(requested) if requested > current => Err(Refusal::FutureRevision { requested, current }),
            Some(requested) if requested < oldest => Err(Refusal::Compacted { requested, oldest }),
            Some(requested) => Ok(requested),
        }
    }
}

/// Access to the values.
pub(crate) trait Values {
    /// The record at a position that the index names.
    fn record(&self, at: Position) -> Result<Record, ReadError>;

    /// The records at several such positions, in that order.
    fn records(&self, at: &[Position]) -> Result<Vec<Record>, ReadError> {
        at.iter().map(|at| self.record(*at)).collect()
    }
}
