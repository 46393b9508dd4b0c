//! The byte form of a [`Reply`]: what a leader answers the node that forwarded the command. It is sent, but
//! never stored.
//!
//! ```text
//! reply    = version(1) revision result
//! result   = 1 option-kv | 2 deleted kvs | 3 txn | 4 (compaction) | 6 refusal | 7 (raise)
//! txn      = succeeded n op×n             op = 1 option-kv | 2 deleted kvs | 3 txn | 5 range
//! range    = flags kvs [count]            flags: 1 more, 2 counted
//! kvs      = n kv×n                       option-kv = 0 | 1 kv
//! kv       = key value create_revision mod_revision version
//! refusal  = kind …
//! ```
//!
//! Numbers, counts and lengths are LEB128, as in a [command](crate::machine::Command).

use crate::kv::codec::{DecodeError, Reader, Writer};
use crate::kv::{DeleteResult, KeyValue, OpResult, PutResult, RangeResult, Refusal, Txn, TxnResult};
use crate::machine::command::{CommandResult, Reply};
use crate::types::Revision;
use bytes::Bytes;

const VERSION: u8 = 1;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const TXN: u8 = 3;
const COMPACT: u8 = 4;
const RANGE: u8 = 5;
const REFUSED: u8 = 6;
const RAISED: u8 = 7;

const MORE: u8 = 1;
const COUNTED: u8 = 1 << 1;

impl Reply {
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(32);
        out.byte(VERSION);
        out.varint(self.revision.get());
        match &self.result {
            CommandResult::Put(put) => write_put(&mut out, put),
            CommandResult::Delete(delete) => write_delete(&mut out, delete),
            CommandResult::Txn(txn) => write_txn(&mut out, txn),
            CommandResult::Compact => out.byte(COMPACT),
            CommandResult::Raised => out.byte(RAISED),
            CommandResult::Refused(refusal) => {
                out.byte(REFUSED);
                write_refusal(&mut out, refusal);
            }
        }
        out.finish()
    }

    /// Reads the byte form. Whatever the bytes are, this neither panics nor
    /// allocates more than in proportion to them.
    pub fn decode(input: &Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader::new(input);
        if from.byte()? != VERSION {
            return Err(from.refuse("a version of the encoding that this program does not know"));
        }
        let revision = Revision(from.varint()?);
        let result = match from.byte()? {
            PUT => CommandResult::Put(read_put(&mut from)?),
            DELETE => CommandResult::Delete(read_delete(&mut from)?),
            TXN => CommandResult::Txn(read_txn(&mut from, 1)?),
            COMPACT => CommandResult::Compact,
            RAISED => CommandResult::Raised,
            REFUSED => CommandResult::Refused(read_refusal(&mut from)?),
            _ => return Err(from.refuse("an unknown kind of reply")),
        };
        from.end()?;
        Ok(Self { revision, result })
    }
}

fn write_put(out: &mut Writer, put: &PutResult) {
    out.byte(PUT);
    match &put.previous {
        None => out.byte(0),
        Some(previous) => {
            out.byte(1);
            write_kv(out, previous);
        }
    }
}

fn write_delete(out: &mut Writer, delete: &DeleteResult) {
    out.byte(DELETE);
    out.varint(delete.deleted);
    write_kvs(out, &delete.previous);
}

fn write_txn(out: &mut Writer, txn: &TxnResult) {
    out.byte(TXN);
    out.byte(txn.succeeded.into());
    out.varint(txn.results.len() as u64);
    for result in &txn.results {
        match result {
            OpResult::Put(put) => write_put(out, put),
            OpResult::Delete(delete) => write_delete(out, delete),
            OpResult::Txn(txn) => write_txn(out, txn),
            OpResult::Range(range) => write_range(out, range),
        }
    }
}

fn write_range(out: &mut Writer, range: &RangeResult) {
    out.byte(RANGE);
    out.byte(if range.more { MORE } else { 0 } | if range.count.is_some() { COUNTED } else { 0 });
    write_kvs(out, &range.kvs);
    if let Some(count) = range.count {
        out.varint(count);
    }
}

fn write_kvs(out: &mut Writer, kvs: &[KeyValue]) {
    out.varint(kvs.len() as u64);
    for kv in kvs {
        write_kv(out, kv);
    }
}

fn write_kv(out: &mut Writer, kv: &KeyValue) {
    out.bytes(&kv.key);
    out.bytes(&kv.value);
    out.varint(kv.create_revision.get());
    out.varint(kv.mod_revision.get());
    out.varint(kv.version);
}

fn write_refusal(out: &mut Writer, refusal: &Refusal) {
    match refusal {
        Refusal::Compacted { requested, oldest } => {
            out.byte(1);
            out.varint(requested.get());
            out.varint(oldest.get());
        }
        Refusal::FutureRevision { requested, current } => {
            out.byte(2);
            out.varint(requested.get());
            out.varint(current.get());
        }
        Refusal::DuplicateKey { key } => {
            out.byte(3);
            out.bytes(key);
        }
        Refusal::TooManyChanges { limit } => {
            out.byte(4);
            out.varint(*limit);
        }
        Refusal::ChangesTooLarge { limit } => {
            out.byte(5);
            out.varint(*limit);
        }
        Refusal::ReplyTooLarge { limit } => {
            out.byte(6);
            out.varint(*limit);
        }
        Refusal::TooMuchWork { limit, actual } => {
            out.byte(7);
            out.varint(*limit);
            out.byte(u8::from(actual.is_some()));
            actual.iter().for_each(|actual| out.varint(*actual));
        }
        Refusal::PastRange { revision } => {
            out.byte(8);
            out.varint(revision.get());
        }
    }
}

fn read_put(from: &mut Reader<'_>) -> Result<PutResult, DecodeError> {
    let previous = if read_bool(from)? { Some(read_kv(from)?) } else { None };
    Ok(PutResult { previous })
}

fn read_delete(from: &mut Reader<'_>) -> Result<DeleteResult, DecodeError> {
    Ok(DeleteResult { deleted: from.varint()?, previous: read_list(from, read_kv)? })
}

fn read_txn(from: &mut Reader<'_>, depth: usize) -> Result<TxnResult, DecodeError> {
    // Bounds the stack, as for commands.
    if depth > Txn::MAX_DEPTH {
        return Err(from.refuse("transactions are nested too deep"));
    }
    Ok(TxnResult {
        succeeded: read_bool(from)?,
        results: read_list(from, |from| {
            Ok(match from.byte()? {
                PUT => OpResult::Put(read_put(from)?),
                DELETE => OpResult::Delete(read_delete(from)?),
                TXN => OpResult::Txn(read_txn(from, depth + 1)?),
                RANGE => OpResult::Range(read_range(from)?),
                _ => return Err(from.refuse("an unknown kind of result")),
            })
        })?,
    })
}

fn read_range(from: &mut Reader<'_>) -> Result<RangeResult, DecodeError> {
    let flags = from.byte()?;
    if flags & !(MORE | COUNTED) != 0 {
        return Err(from.refuse("an unknown flag"));
    }
    let kvs = read_list(from, read_kv)?;
    let count = if flags & COUNTED != 0 { Some(from.varint()?) } else { None };
    Ok(RangeResult { kvs, more: flags & MORE != 0, count })
}

/// Grows as it reads: a count cannot be trusted, so it must not allocate.
fn read_list<T>(
    from: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut list = Vec::new();
    for _ in 0..from.varint()? {
        list.push(read(from)?);
    }
    Ok(list)
}

fn read_kv(from: &mut Reader<'_>) -> Result<KeyValue, DecodeError> {
    Ok(KeyValue {
        key: from.bytes()?,
        value: from.bytes()?,
        create_revision: Revision(from.varint()?),
        mod_revision: Revision(from.varint()?),
        version: from.varint()?,
    })
}

fn read_bool(from: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match from.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(from.refuse("a truth value is neither 0 nor 1")),
    }
}

fn read_refusal(from: &mut Reader<'_>) -> Result<Refusal, DecodeError> {
    Ok(match from.byte()? {
        1 => Refusal::Compacted { requested: Revision(from.varint()?), oldest: Revision(from.varint()?) },
        2 => {
            Refusal::FutureRevision { requested: Revision(from.varint()?), current: Revision(from.varint()?) }
        }
        3 => Refusal::DuplicateKey { key: from.bytes()? },
        4 => Refusal::TooManyChanges { limit: from.varint()? },
        5 => Refusal::ChangesTooLarge { limit: from.varint()? },
        6 => Refusal::ReplyTooLarge { limit: from.varint()? },
        7 => Refusal::TooMuchWork {
            limit: from.varint()?,
            actual: if read_bool(from)? { Some(from.varint()?) } else { None },
        },
        8 => Refusal::PastRange { revision: Revision(from.varint()?) },
        _ => return Err(from.refuse("an unknown kind of refusal")),
    })
}
