//! Random commands over few keys, so that they interfere.

use bytes::Bytes;
use kontiki::kv::{Compact, Compare, Delete, KeyRange, Op, Order, Put, Range, Relation, Target, Txn};
use kontiki::machine::Command;
use kontiki::types::Revision;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Revisions that short histories come to, and a few that they do not.
fn revision() -> impl Strategy<Value = Revision> {
    (0..24u64).prop_map(Revision)
}

fn key() -> impl Strategy<Value = Bytes> {
    let keys: &[&'static [u8]] =
        &[b"a", b"a\0", b"aa", b"ab", b"b", b"b\xff", b"b\xff\xff", b"c", b"\xff", b"\xff\xff"];
    prop::sample::select(keys).prop_map(Bytes::from_static)
}

fn value() -> impl Strategy<Value = Bytes> {
    vec(b'x'..=b'z', 0..4).prop_map(Bytes::from)
}

/// Also empty and inverted ones.
pub fn key_range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        6 => key().prop_map(KeyRange::key),
        2 => key().prop_map(KeyRange::prefix),
        2 => (key(), option::of(key())).prop_map(|(start, end)| KeyRange::span(start, end)),
        1 => Just(KeyRange::all()),
    ]
}

pub fn put() -> impl Strategy<Value = Put> {
    (key(), value(), any::<bool>()).prop_map(|(key, value, return_previous)| Put {
        key,
        value,
        return_previous,
    })
}

pub fn delete() -> impl Strategy<Value = Delete> {
    (key_range(), any::<bool>()).prop_map(|(range, return_previous)| Delete { range, return_previous })
}

pub fn range() -> impl Strategy<Value = Range> {
    let numbers = (option::weighted(0.3, revision()), option::of(0..5u64), option::weighted(0.2, 0..150u64));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (key_range(), numbers, flags).prop_map(|(range, (revision, limit, max_bytes), flags)| Range {
        range,
        revision,
        limit,
        max_bytes,
        order: if flags.0 { Order::Descending } else { Order::Ascending },
        keys_only: flags.1,
        with_count: flags.2,
        count_only: flags.3,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let relations = [Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less];
    let target = prop_oneof![
        (0..4u64).prop_map(Target::Version),
        revision().prop_map(Target::CreateRevision),
        revision().prop_map(Target::ModRevision),
        value().prop_map(Target::Value),
    ];
    (key_range(), target, prop::sample::select(relations.to_vec()))
        .prop_map(|(range, target, relation)| Compare { range, target, relation })
}

pub fn txn() -> impl Strategy<Value = Txn> {
    let leaf = || {
        prop_oneof![
            2 => range().prop_map(Op::Range),
            3 => put().prop_map(Op::Put),
            1 => delete().prop_map(Op::Delete),
        ]
    };
    let op = leaf().prop_recursive(
        3,
        12,
        4,
        move |inner| prop_oneof![3 => leaf(), 1 => txn_of(inner).prop_map(Op::Txn)],
    );
    txn_of(op)
}

/// Transactions, also nested, that only read.
pub fn reading_txn() -> impl Strategy<Value = Txn> {
    let op = range().prop_map(Op::Range).prop_recursive(3, 12, 4, |inner| txn_of(inner).prop_map(Op::Txn));
    txn_of(op)
}

fn txn_of(op: impl Strategy<Value = Op> + Clone) -> impl Strategy<Value = Txn> {
    (vec(compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..4))
        .prop_map(|(compares, success, failure)| Txn { compares, success, failure })
}

pub fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => put().prop_map(Command::Put),
        3 => delete().prop_map(Command::Delete),
        6 => txn().prop_map(Command::Txn),
        2 => revision().prop_map(|revision| Command::Compact(Compact { revision })),
    ]
}

/// What may happen to a machine.
#[derive(Clone, Debug)]
pub enum Step {
    Apply(Command),
    Noop,
    Members(Bytes),
    Read(Range),
    /// Shows what was applied, without saving it.
    Commit,
    Save,
    Collect(usize),
    /// All that was not saved is lost, and applied again from the log.
    Crash,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => command().prop_map(Step::Apply),
        1 => Just(Step::Noop),
        1 => value().prop_map(Step::Members),
        4 => range().prop_map(Step::Read),
        4 => Just(Step::Commit),
        3 => Just(Step::Save),
        3 => (0..6usize).prop_map(Step::Collect),
        1 => Just(Step::Crash),
    ];
    vec(step, 0..60)
}
