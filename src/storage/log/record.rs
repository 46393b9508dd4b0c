//! The encoding of the log's records. Pure functions.

use crate::raft::{Entry, HardState, Payload};
use crate::storage::codec::{self, Malformed};
use crate::types::{DirectoryId, EntryId, Index, NodeId, Term};
use bytes::{Buf as _, BufMut as _, Bytes};

pub(crate) const BASE_KEY: &[u8] = b"b";
pub(crate) const HARD_STATE_KEY: &[u8] = b"h";
pub(crate) const MARK_KEY: &[u8] = b"j";
pub(crate) const PADDING_KEY: &[u8] = b"p";
/// The prefix of the keys of runs.
pub(crate) const RUN_PREFIX: &[u8] = b"r";

const VERSION: u8 = 3;
/// Version, checksum and directory.
const ENVELOPE_BYTES: usize = 1 + 4 + 8;

/// How much of the journal the store holds: its records are put before the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredMark {
    /// The last record of the journal whose group is in the store.
    pub number: u64,
    /// The last entry of the log at that point.
    pub last: EntryId,
}

/// The beginning of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// Increases with every reset. Runs of a lower epoch are left-overs.
    pub epoch: u64,
    /// The entry before the first one.
    pub id: EntryId,
}

/// Consecutive entries in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub epoch: u64,
    /// The entry before the first one: it ties the run to its place (Raft §5.3, log matching: logs that agree
    /// on it agree on everything before it).
    pub previous: EntryId,
    /// The entries, at least one.
    pub entries: Vec<Entry>,
}

/// The key of a part of the run that begins at `first`.
pub(crate) fn run_key(first: Index, part: u16) -> [u8; 11] {
    let mut key = [0; 11];
    key[0] = RUN_PREFIX[0];
    key[1..9].copy_from_slice(&first.get().to_be_bytes());
    key[9..].copy_from_slice(&part.to_be_bytes());
    key
}

/// The run and part that a key names.
pub(crate) fn parse_run_key(key: &[u8]) -> Option<(Index, u16)> {
    let key: &[u8; 11] = key.try_into().ok()?;
    let mut rest = key.strip_prefix(RUN_PREFIX)?;
    Some((Index(rest.try_get_u64().ok()?), rest.try_get_u16().ok()?))
}

pub(crate) fn encode_base(directory: DirectoryId, base: Base) -> Vec<u8> {
    seal(BASE_KEY, directory, 24, |out| {
        out.put_u64(base.epoch);
        codec::put_entry_id(out, base.id);
    })
}

pub(crate) fn decode_base(directory: DirectoryId, record: &[u8]) -> Result<Base, Malformed> {
    let mut body = unseal(BASE_KEY, directory, record)?;
    let base = Base { epoch: body.try_get_u64()?, id: codec::get_entry_id(&mut body)? };
    codec::end(body)?;
    Ok(base)
}

pub(crate) fn encode_hard_state(directory: DirectoryId, hard_state: HardState) -> Vec<u8> {
    seal(HARD_STATE_KEY, directory, 17, |out| {
        out.put_u64(hard_state.term.get());
        out.put_u8(u8::from(hard_state.vote.is_some()));
        out.put_u64(hard_state.vote.unwrap_or_default().get());
    })
}

pub(crate) fn decode_hard_state(directory: DirectoryId, record: &[u8]) -> Result<HardState, Malformed> {
    let mut body = unseal(HARD_STATE_KEY, directory, record)?;
    let term = Term(body.try_get_u64()?);
    let voted = body.try_get_u8()? != 0;
    let vote = NodeId(body.try_get_u64()?);
    codec::end(body)?;
    Ok(HardState { term, vote: voted.then_some(vote) })
}

pub(crate) fn encode_mark(directory: DirectoryId, mark: StoredMark) -> Vec<u8> {
    seal(MARK_KEY, directory, 24, |out| {
        out.put_u64(mark.number);
        codec::put_entry_id(out, mark.last);
    })
}

pub(crate) fn decode_mark(directory: DirectoryId, record: &[u8]) -> Result<StoredMark, Malformed> {
    let mut body = unseal(MARK_KEY, directory, record)?;
    let mark = StoredMark { number: body.try_get_u64()?, last: codec::get_entry_id(&mut body)? };
    codec::end(body)?;
    Ok(mark)
}

/// Encodes a run; the caller cuts it into parts.
pub(crate) fn encode_run(
    directory: DirectoryId,
    epoch: u64,
    previous: EntryId,
    entries: &[&Entry],
) -> Vec<u8> {
    let first = run_key(Index(previous.index.get() + 1), 0);
    let size = 32 + entries.iter().map(|entry| entry.size()).sum::<usize>();
    seal(&first, directory, size, |out| {
        out.put_u64(epoch);
        codec::put_entry_id(out, previous);
        out.put_u32(u32::try_from(entries.len()).expect("a run is limited in bytes, so in entries"));
        for entry in entries {
            put_entry(out, entry);
        }
    })
}

/// Decodes the run that begins at `first`.
pub(crate) fn decode_run(directory: DirectoryId, first: Index, record: Bytes) -> Result<Run, Malformed> {
    let body = unseal(&run_key(first, 0), directory, &record)?;
    let mut body = record.slice_ref(body);
    let epoch = body.try_get_u64()?;
    let previous = codec::get_entry_id(&mut body)?;
    let count = body.try_get_u32()?;
    let mut entries = Vec::new();
    for index in (first.get()..).take(count as usize) {
        entries.push(get_entry(&mut body, Index(index))?);
    }
    codec::end(&body)?;
    if entries.is_empty() || previous.index.get().checked_add(1) != Some(first.get()) {
        return Err(Malformed("the run does not begin where its key says".into()));
    }
    Ok(Run { epoch, previous, entries })
}

pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.put_u64(entry.id.term.get());
    match &entry.payload {
        Payload::Noop => out.put_u8(0),
        Payload::Command(bytes) => {
            out.put_u8(1);
            out.put_u32(u32::try_from(bytes.len()).expect("a command is far below 4 GiB"));
            out.put_slice(bytes);
        }
        Payload::Members(members) => {
            out.put_u8(2);
            codec::put_members(out, members);
        }
    }
}

/// The index is not stored: it follows from the entry's place in the run.
pub(crate) fn get_entry(body: &mut Bytes, index: Index) -> Result<Entry, Malformed> {
    let id = EntryId { term: Term(body.try_get_u64()?), index };
    let payload = match body.try_get_u8()? {
        0 => Payload::Noop,
        1 => {
            let length = body.try_get_u32()? as usize;
            Payload::Command(codec::get_bytes(body, length)?)
        }
        2 => Payload::Members(codec::get_members(body)?),
        other => return Err(Malformed(format!("entry {index} is of the unknown kind {other}"))),
    };
    Ok(Entry { id, payload })
}

fn seal(key: &[u8], directory: DirectoryId, size: usize, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut record = Vec::with_capacity(ENVELOPE_BYTES + size);
    record.put_u8(VERSION);
    record.put_u32(0);
    record.put_u64(directory.get());
    body(&mut record);
    let checksum = checksum(key, &record);
    record[1..5].copy_from_slice(&checksum.to_be_bytes());
    record
}

fn unseal<'a>(key: &[u8], directory: DirectoryId, record: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let mut rest = record;
    let version = rest.try_get_u8()?;
    if version != VERSION {
        return Err(Malformed(format!(
            "its version is {version}, but this version of Kontiki knows {VERSION}"
        )));
    }
    let (stored, actual) = (rest.try_get_u32()?, checksum(key, record));
    if stored != actual {
        return Err(Malformed(format!("its checksum is {stored:08x}, that of its content is {actual:08x}")));
    }
    let found = DirectoryId(rest.try_get_u64()?);
    if found != directory {
        return Err(Malformed(format!(
            "it belongs to directory {:x}, not {:x}",
            found.get(),
            directory.get()
        )));
    }
    Ok(rest)
}

/// Covers the key and everything except the checksum itself. Records are at least
/// five bytes long where it is called.
fn checksum(key: &[u8], record: &[u8]) -> u32 {
    let sum = crc32c::crc32c(key);
    let sum = crc32c::crc32c_append(sum, &record[..1]);
    crc32c::crc32c_append(sum, &record[5..])
}
