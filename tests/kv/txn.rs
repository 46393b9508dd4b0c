//! Transactions, case by case.

use crate::kv::support::{Store, at, bytes, delete, everything, put, read, records, show, txn, when};
use kontiki::kv::{Compare, KeyRange, Op, OpResult, Put, Refusal, Relation, Target, Txn, TxnResult};
use kontiki::machine::{Command, CommandResult};
use kontiki::types::Revision;

fn run(store: &mut Store, txn: Txn) -> TxnResult {
    match store.done(Command::Txn(txn)) {
        CommandResult::Txn(result) => result,
        other => panic!("{other:?}"),
    }
}

fn succeeds(store: &mut Store, compare: Compare) -> bool {
    run(store, txn(vec![compare], vec![], vec![])).succeeded
}

fn put_op(key: &str, value: &str) -> Op {
    Op::Put(put(key, value))
}

fn all_as_text(result: &OpResult) -> Vec<String> {
    match result {
        OpResult::Range(range) => show(&range.kvs),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_absent_key_compares_as_zero_and_has_no_value() {
    let mut store = Store::new();
    for (target, zero) in [
        (Target::Version(0), Relation::Equal),
        (Target::CreateRevision(Revision(0)), Relation::Equal),
        (Target::ModRevision(Revision(1)), Relation::Less),
    ] {
        assert!(succeeds(&mut store, when("absent", target, zero)));
    }
    for relation in [Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less] {
        assert!(!succeeds(&mut store, when("absent", Target::Value(bytes("")), relation)), "{relation:?}");
    }
}

#[test]
fn a_compare_over_a_range_must_hold_for_every_key() {
    let mut store = Store::new();
    store.put("a1", "x");
    store.put("a2", "x");
    let all_are = |value| Compare {
        range: KeyRange::prefix("a"),
        target: Target::Value(bytes(value)),
        relation: Relation::Equal,
    };
    assert!(succeeds(&mut store, all_are("x")));
    store.put("a3", "y");
    assert!(!succeeds(&mut store, all_are("x")));
}

#[test]
fn a_transaction_is_one_revision_and_reads_see_what_came_before() {
    let mut store = Store::new();
    store.put("a", "1");
    let steps = vec![
        put_op("b", "2"),
        Op::Range(everything()),
        Op::Delete(delete(KeyRange::key("a"))),
        Op::Range(everything()),
        Op::Range(at(2, read(KeyRange::key("a")))),
    ];
    let result = run(&mut store, txn(vec![], steps, vec![]));
    assert_eq!(all_as_text(&result.results[1]), ["a=1", "b=2"]);
    assert_eq!(all_as_text(&result.results[3]), ["b=2"]);
    assert_eq!(all_as_text(&result.results[4]), ["a=1"], "the past does not change");
    assert_eq!(store.commit().revision(), Revision(3));
}

/// As in etcd: the path is chosen before the first operation.
#[test]
fn nested_compares_see_the_state_before_the_whole_transaction() {
    let mut store = Store::new();
    let exists = when("k", Target::Version(0), Relation::Greater);
    let inner = txn(vec![exists], vec![], vec![put_op("absent", "at the start")]);
    let result = run(&mut store, txn(vec![], vec![put_op("k", "v"), Op::Txn(inner)], vec![]));
    assert!(matches!(&result.results[1], OpResult::Txn(inner) if !inner.succeeded));
    assert_eq!(show(&store.commit().range(&everything()).unwrap().kvs), ["absent=at the start", "k=v"]);
}

#[test]
fn a_transaction_that_changes_nothing_makes_no_revision() {
    let mut store = Store::new();
    store.put("a", "1");
    run(&mut store, txn(vec![], vec![Op::Range(everything())], vec![]));
    run(&mut store, txn(vec![], vec![Op::Delete(delete(KeyRange::key("absent")))], vec![]));
    assert_eq!(store.commit().revision(), Revision(2));
}

#[test]
fn a_key_changes_once_in_a_branch() {
    let mut store = Store::new();
    let duplicate = |key| Refusal::DuplicateKey { key: bytes(key) };
    let nested = |ops: Vec<Op>| Op::Txn(txn(vec![], ops, vec![]));
    let wipe = || Op::Delete(delete(KeyRange::all()));
    for ops in [
        vec![put_op("k", "1"), put_op("k", "2")],
        vec![put_op("k", "1"), wipe()],
        vec![wipe(), put_op("k", "1")],
        vec![put_op("k", "1"), nested(vec![put_op("k", "2")])],
        vec![nested(vec![put_op("k", "1")]), nested(vec![wipe()])],
        vec![nested(vec![nested(vec![wipe()])]), put_op("k", "1")],
        vec![nested(vec![put_op("k", "1"), put_op("k", "2")])],
    ] {
        let taken = Command::Txn(txn(vec![], ops.clone(), vec![]));
        assert_eq!(store.refused(taken), duplicate("k"), "{ops:?}");
        let not_taken = Command::Txn(txn(vec![], vec![], ops));
        assert_eq!(store.refused(not_taken), duplicate("k"), "whichever branch is taken");
    }
    assert_eq!(store.commit().revision(), Revision(1));
}

#[test]
fn what_never_happens_together_may_overlap() {
    let mut store = Store::new();
    let inner = txn(vec![], vec![put_op("k", "then")], vec![put_op("k", "else"), put_op("other", "")]);
    let wipes = vec![Op::Delete(delete(KeyRange::all())), Op::Delete(delete(KeyRange::key("k")))];
    run(&mut store, txn(vec![], vec![Op::Txn(inner)], vec![put_op("k", "else")]));
    run(&mut store, txn(vec![], wipes, vec![]));
    assert_eq!(store.commit().keys(), 0);
}

#[test]
fn an_unreadable_revision_refuses_the_whole() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    store.done(crate::kv::support::compact(3));
    let read_at = |revision| {
        txn(vec![], vec![put_op("b", "3"), Op::Range(at(revision, read(KeyRange::key("a"))))], vec![])
    };
    let compacted = Refusal::Compacted { requested: Revision(2), oldest: Revision(3) };
    assert_eq!(store.refused(Command::Txn(read_at(2))), compacted);
    let future = Refusal::FutureRevision { requested: Revision(4), current: Revision(3) };
    assert_eq!(store.refused(Command::Txn(read_at(4))), future);
    assert_eq!(show(&store.commit().range(&everything()).unwrap().kvs), ["a=2"]);
    run(&mut store, read_at(3));
}

/// Five values of a mebibyte do not fit into an answer of four.
#[test]
fn too_large_an_answer_leaves_no_trace() {
    let mut store = Store::new();
    for n in 0..5 {
        store.put(&format!("big{n}"), &"x".repeat(1 << 20));
    }
    let before = store.commit();
    let ops = vec![put_op("a", "1"), Op::Delete(delete(KeyRange::key("big0"))), Op::Range(everything())];
    let too_large = Refusal::ReplyTooLarge { limit: 4 << 20 };
    assert_eq!(
        store.refused(Command::Txn(txn(vec![], ops.clone(), vec![]))),
        Refusal::ReplyTooLarge { limit: 4 << 20 }
    );
    let mut wipe = delete(KeyRange::all());
    wipe.return_previous = true;
    assert_eq!(store.refused(Command::Delete(wipe)), too_large);

    let after = store.commit();
    assert_eq!(after.state_hash(), before.state_hash());
    assert_eq!((after.revision(), after.keys()), (Revision(6), 5));
    assert_eq!(after.hash(None), before.hash(None));
    assert_eq!(records(&*store.table).len(), 5);

    // What comes next is as if nothing had been tried.
    let previous = store.done(Command::Put(Put { return_previous: true, ..put("big0", "small") }));
    assert!(matches!(previous, CommandResult::Put(put) if put.previous.is_some()));
    run(&mut store, txn(vec![], vec![put_op("a", "1"), Op::Range(read(KeyRange::key("a")))], vec![]));
    assert_eq!(store.commit().revision(), Revision(8));
}

#[test]
fn one_command_removes_so_many_bytes_of_keys_and_no_more() {
    let mut store = Store::new();
    let long = "k".repeat(8000);
    for number in 0..525 {
        store.put(&format!("{number:05}{long}"), "v");
    }
    let before = store.commit().state_hash();
    let too_large = Refusal::ChangesTooLarge { limit: 4 << 20 };
    assert_eq!(store.refused(Command::Delete(delete(KeyRange::all()))), too_large);
    assert_eq!(store.commit().state_hash(), before, "nothing was changed");
    store.delete(KeyRange::span("", Some(bytes("00523"))));
    assert_eq!(show(&store.commit().range(&everything()).unwrap().kvs).len(), 2);
}

#[test]
fn one_command_changes_so_many_keys_and_no_more() {
    let mut store = Store::new();
    for number in 0..16_385 {
        store.put(&format!("k{number:05}"), "v");
    }
    let before = store.commit().state_hash();
    let too_many = Refusal::TooManyChanges { limit: 16_384 };
    assert_eq!(store.refused(Command::Delete(delete(KeyRange::all()))), too_many);
    // In a transaction what came before it counts too, and is taken back.
    let ops = vec![put_op("new", "v"), Op::Delete(delete(KeyRange::span("k00000", Some(bytes("k16384")))))];
    assert_eq!(store.refused(Command::Txn(txn(vec![], ops, vec![]))), too_many);
    assert_eq!(store.commit().state_hash(), before, "nothing was changed");
    store.delete(KeyRange::span("k00000", Some(bytes("k16384"))));
    assert_eq!(show(&store.commit().range(&everything()).unwrap().kvs).len(), 1);
}
