//! Range reads and comparisons: the index chooses, the table supplies values.

use crate::kv::horizon::{Horizon, Values};
use crate::kv::index::CHUNK_KEYS;
use crate::kv::model::{Compare, KeyRange, KeyValue, Order, Range, RangeResult, Refusal, Relation, Target};
use crate::kv::read_error::ReadError;
use crate::kv::record::{Record, damaged};
use crate::kv::version::Version;
use crate::kv::work::{self, Meter};
use crate::types::Revision;
use bytes::Bytes;
use std::ops::ControlFlow;

/// About what an answer takes for each key besides the key and the value, in bytes.
const KEY_VALUE_OVERHEAD: u64 = 32;

/// How many values are fetched together.
const FETCH_VALUES: usize = 4096;

/// How many bytes an answer may still take.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: u64,
    left: u64,
}

impl Allowance {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, left: limit }
    }

    /// Takes what one key needs, or refuses.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(bytes).ok_or(Refusal::ReplyTooLarge { limit: self.limit })?;
        Ok(())
    }
}

/// About what one key takes in an answer, in bytes.
pub(crate) fn answer_bytes(key: &[u8], version: &Version, keys_only: bool) -> u64 {
    let value_bytes = if keys_only { 0 } else { u64::from(version.value_bytes) };
    KEY_VALUE_OVERHEAD + key.len() as u64 + value_bytes
}

pub(crate) fn range(
    horizon: Horizon<'_>,
    values: &impl Values,
    query: &Range,
    allowance: &mut Allowance,
    meter: &mut Meter<'_>,
) -> Result<RangeResult, ReadError> {
    let revision = horizon.readable(query.revision)?;
    let mut selection = Selection::new(query, allowance);
    let mut take = |key: &[u8], version| selection.take(key, version);
    walk(horizon, &query.range, revision, query.order, meter, &mut take)?;
    let Selection { chosen, more, count, refused, .. } = selection;
    if let Some(refusal) = refused {
        return Err(refusal.into());
    }
    let kvs = if query.keys_only {
        chosen.into_iter().map(|(key, version)| key_value(key, Bytes::new(), &version)).collect()
    } else {
        fetch_all(values, chosen, meter)?
    };
    let count = (query.with_count || query.count_only).then_some(count);
    Ok(RangeResult { kvs, more, count })
}

/// Visits the versions of a range that are visible at a revision.
fn walk(
    horizon: Horizon<'_>,
    range: &KeyRange,
    revision: Revision,
    order: Order,
    meter: &mut Meter<'_>,
    visit: &mut dyn FnMut(&[u8], Version) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    if !range.is_single_key() {
        return horizon.index.walk(range, revision, order, meter, visit);
    }
    meter.spend(work::KEY)?;
    let version = horizon.index.read().visible_at(&range.start, revision);
    if let Some(version) = version {
        let _ = visit(&range.start, version); // There is no other.
    }
    Ok(())
}

/// The answer of a range read, being collected.
struct Selection<'a> {
    query: &'a Range,
    allowance: &'a mut Allowance,
    chosen: Vec<(Bytes, Version)>,
    bytes: u64,
    more: bool,
    count: u64,
    refused: Option<Refusal>,
}

impl<'a> Selection<'a> {
    fn new(query: &'a Range, allowance: &'a mut Allowance) -> Self {
        Self { query, allowance, chosen: Vec::new(), bytes: 0, more: false, count: 0, refused: None }
    }

    /// Takes the next key if the limits allow; goes on beyond them only to count.
    fn take(&mut self, key: &[u8], version: Version) -> ControlFlow<()> {
        let query = self.query;
        self.count += 1;
        if query.count_only || self.more {
            return ControlFlow::Continue(());
        }
        let size = answer_bytes(key, &version, query.keys_only);
        let full = query.limit.is_some_and(|limit| self.chosen.len() as u64 >= limit)
            || query.max_bytes.is_some_and(|max| !self.chosen.is_empty() && self.bytes + size > max);
        if full {
            self.more = true;
            return if query.with_count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        }
        if let Err(refusal) = self.allowance.take(size) {
            self.refused = Some(refusal);
            return ControlFlow::Break(());
        }
        self.bytes += size;
        self.chosen.push((Bytes::copy_from_slice(key), version));
        ControlFlow::Continue(())
    }
}

/// Many at a time, since those of one block are read together.
fn fetch_all(
    values: &impl Values,
    chosen: Vec<(Bytes, Version)>,
    meter: &mut Meter<'_>,
) -> Result<Vec<KeyValue>, ReadError> {
    let mut kvs = Vec::with_capacity(chosen.len());
    let mut chosen = chosen.into_iter();
    loop {
        let some: Vec<_> = chosen.by_ref().take(FETCH_VALUES).collect();
        if some.is_empty() {
            return Ok(kvs);
        }
        for (_, version) in &some {
            meter.spend(work::value(version.value_bytes))?;
        }
        let positions: Vec<_> = some.iter().map(|(_, version)| version.position()).collect();
        let records = values.records(&positions)?;
        for ((key, version), record) in some.into_iter().zip(records) {
            kvs.push(joined(key, &version, record)?);
        }
    }
}

pub(crate) fn fetch(
    values: &impl Values,
    key: Bytes,
    version: &Version,
    meter: &mut Meter<'_>,
) -> Result<KeyValue, ReadError> {
    meter.spend(work::value(version.value_bytes))?;
    joined(key, version, values.record(version.position())?)
}

/// The index's part of a version with the table's, which must agree.
fn joined(key: Bytes, version: &Version, record: Record) -> Result<KeyValue, ReadError> {
    if record.key != key || record.version != *version {
        return Err(damaged(version.position(), "it is not what was read when the node started").into());
    }
    Ok(key_value(key, record.value, version))
}

fn key_value(key: Bytes, value: Bytes, version: &Version) -> KeyValue {
    KeyValue {
        key,
        value,
        create_revision: version.create_revision,
        mod_revision: version.revision,
        version: version.version,
    }
}

/// Whether a comparison holds for all keys of its range. If the range is empty, numbers compare as 0, and no
/// value compares at all.
pub(crate) fn holds(
    horizon: Horizon<'_>,
    values: &impl Values,
    compare: &Compare,
    meter: &mut Meter<'_>,
) -> Result<bool, ReadError> {
    let number: fn(&Version) -> u64 = match &compare.target {
        Target::Value(operand) => return values_hold(horizon, values, compare, operand, meter),
        Target::Version(_) => |version| version.version,
        Target::CreateRevision(_) => |version| version.create_revision.get(),
        Target::ModRevision(_) => |version| version.revision.get(),
    };
    let operand = match &compare.target {
        Target::CreateRevision(operand) | Target::ModRevision(operand) => operand.get(),
        Target::Version(operand) => *operand,
        Target::Value(_) => 0,
    };
    let (mut exists, mut holds) = (false, true);
    walk(horizon, &compare.range, horizon.newest, Order::Ascending, meter, &mut |_, version| {
        exists = true;
        holds = relate(&number(&version), compare.relation, &operand);
        if holds { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(if exists { holds } else { relate(&0, compare.relation, &operand) })
}

/// Chunk by chunk, since values are not read while the index is locked.
fn values_hold(
    horizon: Horizon<'_>,
    values: &impl Values,
    compare: &Compare,
    operand: &Bytes,
    meter: &mut Meter<'_>,
) -> Result<bool, ReadError> {
    let (mut exists, mut left) = (false, Some(compare.range.clone()));
    while let Some(range) = left {
        let mut chunk = Vec::new();
        let walked = horizon.index.read().walk(
            &range,
            horizon.newest,
            Order::Ascending,
            CHUNK_KEYS,
            &mut |key, version| {
                chunk.push((Bytes::copy_from_slice(key), version));
                ControlFlow::Continue(())
            },
        );
        meter.spend_on_absent(walked.absent)?;
        left = walked.rest;
        for (key, version) in chunk {
            exists = true;
            meter.spend(work::KEY)?;
            if !relate(&fetch(values, key, &version, meter)?.value, compare.relation, operand) {
                return Ok(false);
            }
        }
    }
    Ok(exists)
}

fn relate<T: Ord>(left: &T, relation: Relation, right: &T) -> bool {
    match relation {
        Relation::Equal => left == right,
        Relation::NotEqual => left != right,
        Relation::Greater => left > right,
        Relation::Less => left < right,
    }
}
