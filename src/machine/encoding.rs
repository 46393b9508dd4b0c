//! The byte form of a [`Command`]: what the log holds forever.
//!
//! ```text
//! command  = kind …                       kinds: 1 put, 2 delete, 3 txn, 4 compact, 6 raise
//! put      = flags key value              flags: 1 return the previous version
//! delete   = flags range
//! txn      = n compare×n  n op×n  n op×n  an op is a kind (1, 2, 3, 5 range) and its fields
//! compact  = revision
//! raise    = version of the cluster
//! range    = flags keys [revision] [limit] [max_bytes]
//! compare  = keys target operand relation
//! keys     = 0 key 0x00 | 1 start end | 2 start
//! ```
//!
//! Kinds, numbers, counts and lengths are LEB128. A change of form needs a new kind. A node that meets an
//! unknown kind ends: it can neither do what the others do nor skip it (`compatibility.rs`).

use crate::kv::codec::{DecodeError, Reader, Writer};
use crate::kv::{Compact, Compare, Delete, KeyRange, Op, Order, Put, Range, Relation, Target, Txn};
use crate::machine::command::{Command, Raise};
use crate::machine::compatibility::ClusterVersion;
use crate::types::Revision;
use bytes::Bytes;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const TXN: u8 = 3;
const COMPACT: u8 = 4;
const RANGE: u8 = 5;
const RAISE: u8 = 6;

const RETURN_PREVIOUS: u8 = 1;

const AT_REVISION: u8 = 1;
const LIMITED: u8 = 1 << 1;
const MAX_BYTES: u8 = 1 << 2;
const DESCENDING: u8 = 1 << 3;
const KEYS_ONLY: u8 = 1 << 4;
const WITH_COUNT: u8 = 1 << 5;
const COUNT_ONLY: u8 = 1 << 6;
const ALL_RANGE_FLAGS: u8 = (COUNT_ONLY << 1) - 1;

const ONE_KEY: u8 = 0;
const BOUNDED: u8 = 1;
const UNBOUNDED: u8 = 2;

impl Command {
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(self.payload_bytes() + 32);
        match self {
            Self::Put(put) => write_put(&mut out, put),
            Self::Delete(delete) => write_delete(&mut out, delete),
            Self::Txn(txn) => write_txn(&mut out, txn),
            Self::Compact(compact) => {
                out.byte(COMPACT);
                out.varint(compact.revision.get());
            }
            Self::Raise(raise) => {
                out.byte(RAISE);
                out.varint(raise.version.get().into());
            }
        }
        out.finish()
    }

    /// Reads the byte form. Keys and values are slices of `input`, so that nothing is copied; whoever keeps
    /// one for long should copy it.
    ///
    /// Whatever the bytes are, this neither panics nor allocates more than in
    /// proportion to them. Transactions may be nested [`Txn::MAX_DEPTH`] deep.
    pub fn decode(input: &Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader::new(input);
        // All kinds so far fit into one byte.
        let command = match from.byte()? {
            PUT => Self::Put(read_put(&mut from)?),
            DELETE => Self::Delete(read_delete(&mut from)?),
            TXN => Self::Txn(read_txn(&mut from, 1)?),
            COMPACT => Self::Compact(Compact { revision: Revision(from.varint()?) }),
            RAISE => Self::Raise(read_raise(&mut from)?),
            _ => return Err(from.refuse("an unknown kind of command")),
        };
        from.end()?;
        Ok(command)
    }

    /// The approximate size of the encoding, for the most common command.
    fn payload_bytes(&self) -> usize {
        match self {
            Self::Put(put) => put.key.len() + put.value.len(),
            _ => 0,
        }
    }
}

fn write_put(out: &mut Writer, put: &Put) {
    out.byte(PUT);
    out.byte(flag(put.return_previous, RETURN_PREVIOUS));
    out.bytes(&put.key);
    out.bytes(&put.value);
}

fn write_delete(out: &mut Writer, delete: &Delete) {
    out.byte(DELETE);
    out.byte(flag(delete.return_previous, RETURN_PREVIOUS));
    write_keys(out, &delete.range);
}

fn write_txn(out: &mut Writer, txn: &Txn) {
    out.byte(TXN);
    out.varint(txn.compares.len() as u64);
    for compare in &txn.compares {
        write_compare(out, compare);
    }
    for branch in [&txn.success, &txn.failure] {
        out.varint(branch.len() as u64);
        for op in branch {
            match op {
                Op::Range(range) => write_range(out, range),
                Op::Put(put) => write_put(out, put),
                Op::Delete(delete) => write_delete(out, delete),
                Op::Txn(txn) => write_txn(out, txn),
            }
        }
    }
}

fn write_range(out: &mut Writer, range: &Range) {
    out.byte(RANGE);
    out.byte(
        flag(range.revision.is_some(), AT_REVISION)
            | flag(range.limit.is_some(), LIMITED)
            | flag(range.max_bytes.is_some(), MAX_BYTES)
            | flag(range.order == Order::Descending, DESCENDING)
            | flag(range.keys_only, KEYS_ONLY)
            | flag(range.with_count, WITH_COUNT)
            | flag(range.count_only, COUNT_ONLY),
    );
    write_keys(out, &range.range);
    for number in [range.revision.map(Revision::get), range.limit, range.max_bytes].into_iter().flatten() {
        out.varint(number);
    }
}

fn write_compare(out: &mut Writer, compare: &Compare) {
    write_keys(out, &compare.range);
    match &compare.target {
        Target::Version(version) => {
            out.byte(1);
            out.varint(*version);
        }
        Target::CreateRevision(revision) => {
            out.byte(2);
            out.varint(revision.get());
        }
        Target::ModRevision(revision) => {
            out.byte(3);
            out.varint(revision.get());
        }
        Target::Value(value) => {
            out.byte(4);
            out.bytes(value);
        }
    }
    out.byte(match compare.relation {
        Relation::Equal => 1,
        Relation::NotEqual => 2,
        Relation::Greater => 3,
        Relation::Less => 4,
    });
}

fn write_keys(out: &mut Writer, keys: &KeyRange) {
    match &keys.end {
        // The end follows the key's bytes, so that both can be sliced.
        Some(end) if keys.is_single_key() => {
            out.byte(ONE_KEY);
            out.varint(keys.start.len() as u64);
            out.raw(end);
        }
        Some(end) => {
            out.byte(BOUNDED);
            out.bytes(&keys.start);
            out.bytes(end);
        }
        None => {
            out.byte(UNBOUNDED);
            out.bytes(&keys.start);
        }
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn read_put(from: &mut Reader<'_>) -> Result<Put, DecodeError> {
    let flags = read_flags(from, RETURN_PREVIOUS)?;
    Ok(Put { key: from.bytes()?, value: from.bytes()?, return_previous: flags != 0 })
}

fn read_delete(from: &mut Reader<'_>) -> Result<Delete, DecodeError> {
    let flags = read_flags(from, RETURN_PREVIOUS)?;
    Ok(Delete { range: read_keys(from)?, return_previous: flags != 0 })
}

fn read_txn(from: &mut Reader<'_>, depth: usize) -> Result<Txn, DecodeError> {
    // Bounds the stack, here and wherever a transaction is walked.
    if depth > Txn::MAX_DEPTH {
        return Err(from.refuse("transactions are nested too deep"));
    }
    Ok(Txn {
        compares: read_list(from, read_compare)?,
        success: read_list(from, |from| read_op(from, depth))?,
        failure: read_list(from, |from| read_op(from, depth))?,
    })
}

fn read_raise(from: &mut Reader<'_>) -> Result<Raise, DecodeError> {
    let version = from.varint()?;
    let version = u32::try_from(version).map_err(|_| from.refuse("a version above 32 bits"))?;
    Ok(Raise { version: ClusterVersion(version) })
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

fn read_op(from: &mut Reader<'_>, depth: usize) -> Result<Op, DecodeError> {
    Ok(match from.byte()? {
        PUT => Op::Put(read_put(from)?),
        DELETE => Op::Delete(read_delete(from)?),
        TXN => Op::Txn(read_txn(from, depth + 1)?),
        RANGE => Op::Range(read_range(from)?),
        _ => return Err(from.refuse("an unknown kind of operation")),
    })
}

fn read_range(from: &mut Reader<'_>) -> Result<Range, DecodeError> {
    let flags = read_flags(from, ALL_RANGE_FLAGS)?;
    let range = read_keys(from)?;
    let mut number = |bit| {
        if flags & bit != 0 { from.varint().map(Some) } else { Ok(None) }
    };
    Ok(Range {
        range,
        revision: number(AT_REVISION)?.map(Revision),
        limit: number(LIMITED)?,
        max_bytes: number(MAX_BYTES)?,
        order: if flags & DESCENDING != 0 { Order::Descending } else { Order::Ascending },
        keys_only: flags & KEYS_ONLY != 0,
        with_count: flags & WITH_COUNT != 0,
        count_only: flags & COUNT_ONLY != 0,
    })
}

fn read_compare(from: &mut Reader<'_>) -> Result<Compare, DecodeError> {
    let range = read_keys(from)?;
    let target = match from.byte()? {
        1 => Target::Version(from.varint()?),
        2 => Target::CreateRevision(Revision(from.varint()?)),
        3 => Target::ModRevision(Revision(from.varint()?)),
        4 => Target::Value(from.bytes()?),
        _ => return Err(from.refuse("an unknown target of a compare")),
    };
    let relation = match from.byte()? {
        1 => Relation::Equal,
        2 => Relation::NotEqual,
        3 => Relation::Greater,
        4 => Relation::Less,
        _ => return Err(from.refuse("an unknown relation of a compare")),
    };
    Ok(Compare { range, target, relation })
}

fn read_keys(from: &mut Reader<'_>) -> Result<KeyRange, DecodeError> {
    match from.byte()? {
        ONE_KEY => {
            let length = from.varint()?;
            let end = from.raw(length.saturating_add(1))?;
            if end.last() != Some(&0) {
                return Err(from.refuse("a single key is not followed by a zero"));
            }
            Ok(KeyRange { start: end.slice(..end.len() - 1), end: Some(end) })
        }
        BOUNDED => {
            let range = KeyRange { start: from.bytes()?, end: Some(from.bytes()?) };
            if range.is_single_key() {
                return Err(from.refuse("a single key is written as a span"));
            }
            Ok(range)
        }
        UNBOUNDED => Ok(KeyRange { start: from.bytes()?, end: None }),
        _ => Err(from.refuse("an unknown kind of key range")),
    }
}

fn read_flags(from: &mut Reader<'_>, known: u8) -> Result<u8, DecodeError> {
    let flags = from.byte()?;
    if flags & !known == 0 { Ok(flags) } else { Err(from.refuse("an unknown flag")) }
}
