//! Range reads and comparisons: the index chooses, the table supplies values.

use crate::kv::history::Version;
use crate::kv::index::NEWEST;
use crate::kv::model::{Compare, KeyValue, Order, Range, RangeResult, Refusal, Relation, Target};
use crate::kv::read_error::ReadError;
use crate::kv::record::damaged;
use crate::kv::state::{State, Values};
use crate::types::Revision;
use bytes::Bytes;

/// The most bytes that a command may answer. A constant: if nodes differed,
/// one would refuse what another applies. [`Limits`](crate::settings::Limits) shows it.
pub(crate) const REPLY_BYTES: u64 = 4 << 20;

/// What an answer takes for each key beside the key and the value, about.
const KEY_VALUE_OVERHEAD: u64 = 32;

/// How many bytes an answer may still take.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: u64,
    left: u64,
}

impl Allowance {
    /// So many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, left: limit }
    }

    /// Takes what one key needs.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(bytes).ok_or(Refusal::ReplyTooLarge { limit: self.limit })?;
        Ok(())
    }
}

/// About what one key takes in an answer, in bytes.
pub(crate) fn answer_bytes(key: &Bytes, version: &Version, keys_only: bool) -> u64 {
    let value_bytes = if keys_only { 0 } else { u64::from(version.value_bytes) };
    KEY_VALUE_OVERHEAD + key.len() as u64 + value_bytes
}

/// Reads a range.
pub(crate) fn range(
    state: &State,
    values: &impl Values,
    query: &Range,
    allowance: &mut Allowance,
) -> Result<RangeResult, ReadError> {
    let revision = state.readable(query.revision)?;
    let visible = state.index.visible(&query.range, revision);
    let selection = match query.order {
        Order::Ascending => select(visible, query, allowance)?,
        Order::Descending => select(visible.rev(), query, allowance)?,
    };
    let wanted = revision.min(state.meta.revision);
    let kvs = selection.chosen.into_iter().map(|(key, version)| {
        if query.keys_only {
            Ok(key_value(key, Bytes::new(), &version))
        } else {
            fetch(values, key, &version, wanted)
        }
    });
    Ok(RangeResult { kvs: kvs.collect::<Result<_, _>>()?, more: selection.more, count: selection.count })
}

/// What a range read will answer.
struct Selection<'a> {
    chosen: Vec<(&'a Bytes, Version)>,
    more: bool,
    count: Option<u64>,
}

/// Walks the index only as far as the limits, unless everything is to be counted.
fn select<'a>(
    visible: impl Iterator<Item = (&'a Bytes, Version)>,
    query: &Range,
    allowance: &mut Allowance,
) -> Result<Selection<'a>, Refusal> {
    let (mut chosen, mut more, mut count, mut bytes) = (Vec::new(), false, 0, 0);
    let counts = query.with_count || query.count_only;
    for (key, version) in visible {
        count += 1;
        if query.count_only || more {
            continue;
        }
        let size = answer_bytes(key, &version, query.keys_only);
        let full = query.limit.is_some_and(|limit| chosen.len() as u64 >= limit)
            || query.max_bytes.is_some_and(|max| !chosen.is_empty() && bytes + size > max);
        if !full {
            allowance.take(size)?;
            bytes += size;
            chosen.push((key, version));
            continue;
        }
        more = true;
        if !counts {
            break;
        }
    }
    Ok(Selection { chosen, more, count: counts.then_some(count) })
}

/// Reads the value of a version.
pub(crate) fn fetch(
    values: &impl Values,
    key: &Bytes,
    version: &Version,
    wanted: Revision,
) -> Result<KeyValue, ReadError> {
    let record = values.record(version.position(), wanted)?;
    if record.key != *key || record.version != *version {
        return Err(damaged(version.position(), "it is not what was read when the node started").into());
    }
    Ok(key_value(key, record.value, version))
}

fn key_value(key: &Bytes, value: Bytes, version: &Version) -> KeyValue {
    KeyValue {
        key: key.clone(),
        value,
        create_revision: version.create_revision,
        mod_revision: version.revision,
        version: version.version,
    }
}

/// Whether a comparison holds for all keys of its range. If there is none,
/// numbers compare as 0, and no value compares at all.
pub(crate) fn holds(state: &State, values: &impl Values, compare: &Compare) -> Result<bool, ReadError> {
    let mut exists = false;
    for (key, version) in state.index.visible(&compare.range, NEWEST) {
        exists = true;
        let holds = match &compare.target {
            Target::Version(operand) => relate(&version.version, compare.relation, operand),
            Target::CreateRevision(operand) => relate(&version.create_revision, compare.relation, operand),
            Target::ModRevision(operand) => relate(&version.revision, compare.relation, operand),
            Target::Value(operand) => {
                let kv = fetch(values, key, &version, state.meta.revision)?;
                relate(&kv.value, compare.relation, operand)
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(exists
        || match &compare.target {
            Target::Version(operand) => relate(&0, compare.relation, operand),
            Target::CreateRevision(operand) | Target::ModRevision(operand) => {
                relate(&Revision(0), compare.relation, operand)
            }
            Target::Value(_) => false,
        })
}

fn relate<T: Ord>(left: &T, relation: Relation, right: &T) -> bool {
    match relation {
        Relation::Equal => left == right,
        Relation::NotEqual => left != right,
        Relation::Greater => left > right,
        Relation::Less => left < right,
    }
}
