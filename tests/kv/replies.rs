//! The byte form of replies.

use bytes::Bytes;
use kontiki::kv::{DeleteResult, KeyValue, OpResult, PutResult, RangeResult, Refusal, Txn, TxnResult};
use kontiki::machine::{CommandResult, Reply};
use kontiki::types::Revision;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn some_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..6).prop_map(Bytes::from)
}

fn revision() -> impl Strategy<Value = Revision> {
    any::<u64>().prop_map(Revision)
}

fn kv() -> impl Strategy<Value = KeyValue> {
    (some_bytes(), some_bytes(), revision(), revision(), any::<u64>()).prop_map(
        |(key, value, create_revision, mod_revision, version)| KeyValue {
            key,
            value,
            create_revision,
            mod_revision,
            version,
        },
    )
}

fn put() -> impl Strategy<Value = PutResult> {
    option::of(kv()).prop_map(|previous| PutResult { previous })
}

fn delete() -> impl Strategy<Value = DeleteResult> {
    (any::<u64>(), vec(kv(), 0..3)).prop_map(|(deleted, previous)| DeleteResult { deleted, previous })
}

fn range() -> impl Strategy<Value = RangeResult> {
    (vec(kv(), 0..3), any::<bool>(), option::of(any::<u64>())).prop_map(|(kvs, more, count)| RangeResult {
        kvs,
        more,
        count,
    })
}

fn txn() -> BoxedStrategy<TxnResult> {
    let leaf = prop_oneof![
        put().prop_map(OpResult::Put),
        delete().prop_map(OpResult::Delete),
        range().prop_map(OpResult::Range),
    ]
    .boxed();
    let of = |op: BoxedStrategy<OpResult>| {
        (any::<bool>(), vec(op, 0..4)).prop_map(|(succeeded, results)| TxnResult { succeeded, results })
    };
    let flat = of(leaf.clone()).boxed();
    flat.prop_recursive(3, 20, 4, move |nested| {
        of(prop_oneof![3 => leaf.clone(), 1 => nested.prop_map(OpResult::Txn)].boxed())
    })
    .boxed()
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        (revision(), revision()).prop_map(|(requested, oldest)| Refusal::Compacted { requested, oldest }),
        (revision(), revision())
            .prop_map(|(requested, current)| Refusal::FutureRevision { requested, current }),
        some_bytes().prop_map(|key| Refusal::DuplicateKey { key }),
        any::<u64>().prop_map(|limit| Refusal::TooManyChanges { limit }),
        any::<u64>().prop_map(|limit| Refusal::ChangesTooLarge { limit }),
        any::<u64>().prop_map(|limit| Refusal::ReplyTooLarge { limit }),
        (any::<u64>(), option::of(any::<u64>()))
            .prop_map(|(limit, actual)| Refusal::TooMuchWork { limit, actual }),
        revision().prop_map(|revision| Refusal::PastRange { revision }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let outcome = prop_oneof![
        put().prop_map(CommandResult::Put),
        delete().prop_map(CommandResult::Delete),
        txn().prop_map(CommandResult::Txn),
        Just(CommandResult::Compact),
        refusal().prop_map(CommandResult::Refused),
    ];
    (revision(), outcome).prop_map(|(revision, result)| Reply { revision, result })
}

/// Whatever decodes must be what [`Reply::encode`] writes, byte for byte.
fn assert_canonical(input: &Bytes) {
    if let Ok(reply) = Reply::decode(input) {
        assert_eq!(reply.encode(), input, "{reply:?} has a second form");
    }
}

proptest! {
    #[test]
    fn a_reply_comes_back(reply in reply()) {
        prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }

    #[test]
    fn damage_is_refused_or_is_another_reply(reply in reply(), damage in vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut damaged = reply.encode().to_vec();
        for (at, byte) in damage {
            let at = at % damaged.len();
            damaged[at] = byte;
        }
        assert_canonical(&damaged.into());
    }

    #[test]
    fn a_piece_of_a_reply_is_refused(reply in reply(), more in any::<u8>()) {
        let form = reply.encode();
        for length in 0..form.len() {
            prop_assert!(Reply::decode(&form.slice(..length)).is_err());
        }
        let longer: Bytes = form.iter().copied().chain([more]).collect();
        prop_assert!(Reply::decode(&longer).is_err());
    }

    #[test]
    fn noise_does_no_harm(noise in vec(any::<u8>(), 0..100), kind in 1..7u8) {
        assert_canonical(&noise.clone().into());
        assert_canonical(&[vec![1, 9, kind], noise].concat().into());
    }
}

#[test]
fn a_reply_is_nested_no_deeper_than_a_command_can_be() {
    let nested = |depth: usize| {
        let empty = TxnResult { succeeded: true, results: Vec::new() };
        let txn = (1..depth)
            .fold(empty, |inner, _| TxnResult { succeeded: true, results: vec![OpResult::Txn(inner)] });
        Reply { revision: Revision(1), result: CommandResult::Txn(txn) }
    };
    assert!(Reply::decode(&nested(Txn::MAX_DEPTH).encode()).is_ok());
    assert!(Reply::decode(&nested(Txn::MAX_DEPTH + 1).encode()).is_err());
}
