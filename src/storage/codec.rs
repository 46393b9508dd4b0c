//! The primitives that all encodings in this folder share. Big-endian.

use crate::raft::Members;
use crate::types::{EntryId, Index, NodeId, Term};
use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use std::collections::BTreeSet;

/// Bytes that are not what they should be, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl From<TryGetError> for Malformed {
    fn from(error: TryGetError) -> Self {
        Self(format!(
            "it is cut short: {} bytes are needed where {} are left",
            error.requested, error.available
        ))
    }
}

pub(crate) fn put_entry_id(out: &mut impl BufMut, id: EntryId) {
    out.put_u64(id.term.get());
    out.put_u64(id.index.get());
}

pub(crate) fn get_entry_id(from: &mut impl Buf) -> Result<EntryId, Malformed> {
    Ok(EntryId { term: Term(from.try_get_u64()?), index: Index(from.try_get_u64()?) })
}

pub(crate) fn put_members(out: &mut impl BufMut, members: &Members) {
    for set in [&members.voters, &members.outgoing, &members.learners] {
        out.put_u32(u32::try_from(set.len()).expect("a cluster has far fewer members"));
        for node in set {
            out.put_u64(node.get());
        }
    }
}

pub(crate) fn get_members(from: &mut impl Buf) -> Result<Members, Malformed> {
    Ok(Members { voters: get_nodes(from)?, outgoing: get_nodes(from)?, learners: get_nodes(from)? })
}

/// The encoding of members, as kept in the state.
pub fn encode_members(members: &Members) -> Bytes {
    let mut out = BytesMut::new();
    put_members(&mut out, members);
    out.freeze()
}

/// Reads [`encode_members`]'s form.
pub fn decode_members(mut bytes: &[u8]) -> Result<Members, Malformed> {
    let members = get_members(&mut bytes)?;
    end(bytes)?;
    Ok(members)
}

fn get_nodes(from: &mut impl Buf) -> Result<BTreeSet<NodeId>, Malformed> {
    let count = from.try_get_u32()?;
    let mut nodes = BTreeSet::new();
    for _ in 0..count {
        // Fails where the bytes end, whatever the count claims.
        if !nodes.insert(NodeId(from.try_get_u64()?)) {
            return Err(Malformed("a member is listed twice".into()));
        }
    }
    Ok(nodes)
}

/// The next `length` bytes, shared, not copied.
pub(crate) fn get_bytes(from: &mut Bytes, length: usize) -> Result<Bytes, Malformed> {
    if length > from.len() {
        return Err(TryGetError { requested: length, available: from.len() }.into());
    }
    Ok(from.split_to(length))
}

/// Checks that nothing follows what was read.
pub(crate) fn end(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() { Ok(()) } else { Err(Malformed(format!("{} bytes follow its end", rest.len()))) }
}
