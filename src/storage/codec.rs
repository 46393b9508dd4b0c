//! The primitives that all encodings in this folder share. Big-endian.

use crate::member::Member;
use crate::raft::{MEMBERS_MAX, Members};
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
    put_nodes(out, members.voters());
    put_nodes(out, members.outgoing());
    put_count(out, members.all().count());
    for Member { id, name, peer_urls, client_urls, learner } in members.iter() {
        out.put_u64(id.get());
        out.put_u8(u8::from(*learner));
        put_text(out, name);
        for urls in [peer_urls, client_urls] {
            put_count(out, urls.len());
            for url in urls {
                put_text(out, url);
            }
        }
    }
}

pub(crate) fn get_members(from: &mut impl Buf) -> Result<Members, Malformed> {
    let (voters, outgoing) = (get_nodes(from)?, get_nodes(from)?);
    let nodes = get_list(from, MEMBERS_MAX, |from| {
        Ok(Member {
            id: NodeId(from.try_get_u64()?),
            learner: get_flag(from)?,
            name: get_text(from)?,
            peer_urls: get_list(from, MEMBERS_MAX, get_text)?,
            client_urls: get_list(from, MEMBERS_MAX, get_text)?,
        })
    })?;
    Members::new(voters, outgoing, nodes).map_err(|invalid| Malformed(invalid.to_string()))
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

fn put_nodes(out: &mut impl BufMut, nodes: &BTreeSet<NodeId>) {
    put_count(out, nodes.len());
    for node in nodes {
        out.put_u64(node.get());
    }
}

fn get_nodes(from: &mut impl Buf) -> Result<BTreeSet<NodeId>, Malformed> {
    let listed = get_list(from, MEMBERS_MAX, |from| Ok(NodeId(from.try_get_u64()?)))?;
    let (count, nodes) = (listed.len(), BTreeSet::from_iter(listed));
    if nodes.len() == count { Ok(nodes) } else { Err(Malformed("a voter is listed twice".into())) }
}

fn put_count(out: &mut impl BufMut, count: usize) {
    out.put_u16(u16::try_from(count).expect("a cluster has far fewer members, and they few URLs"));
}

/// A list with its length in front, of at most `max` elements.
fn get_list<T, B: Buf>(
    from: &mut B,
    max: usize,
    one: impl Fn(&mut B) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = usize::from(from.try_get_u16()?);
    if count > max {
        return Err(Malformed(format!("a list of {count}, limit {max}")));
    }
    (0..count).map(|_| one(from)).collect()
}

fn put_text(out: &mut impl BufMut, text: &str) {
    put_count(out, text.len());
    out.put_slice(text.as_bytes());
}

fn get_text(from: &mut impl Buf) -> Result<String, Malformed> {
    let mut bytes = vec![0; usize::from(from.try_get_u16()?)];
    from.try_copy_to_slice(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8".into()))
}

fn get_flag(from: &mut impl Buf) -> Result<bool, Malformed> {
    match from.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Malformed(format!("{other} is neither true nor false"))),
    }
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
