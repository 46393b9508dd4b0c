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
    /// Which versions there are, newer ones too.
    pub(crate) index: &'a SharedIndex,
    /// Which revisions there are.
    pub(crate) revisions: Revisions,
    /// What a read of the present sees. Inside a transaction, its own changes too.
    pub(crate) newest: Revision,
}

impl Horizon<'_> {
    /// The revision at which to read, if it can be read.
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

/// Where the values are.
pub(crate) trait Values {
    /// The record at a position that the index names.
    fn record(&self, at: Position) -> Result<Record, ReadError>;
}
