//! Backup and hashes, between the wire and the domain.

use crate::api::fault::Fault;
use crate::api::read_level::ReadLevel;
use crate::grpc::wire::read::{level, revision, signed};
use crate::machine::StateHash;
use crate::proto::v1;
use crate::reason::Reason;
use crate::types::Revision;

/// Checks how fresh a snapshot must be.
pub fn snapshot(request: &v1::SnapshotRequest) -> Result<ReadLevel, Fault> {
    if request.read_level() == v1::ReadLevel::AtLeast {
        let message = "a snapshot is LINEARIZABLE or LOCAL";
        return Err(Fault::field(Reason::FieldNotAllowed, "read_level", message));
    }
    level(request.read_level, 0)
}

/// Checks at which revision to hash.
pub fn hash(request: &v1::HashRequest) -> Result<Option<Revision>, Fault> {
    revision("revision", request.revision)
}

pub fn hash_response(header: Option<v1::ResponseHeader>, hash: &StateHash) -> v1::HashResponse {
    v1::HashResponse {
        header,
        revision: signed(hash.revision.get()),
        compact_revision: signed(hash.compact_revision.get()),
        hash: format!("{:032x}", hash.hash),
        records: hash.records,
    }
}
