//! How much one request may do.

use crate::kv::support::{Store, at, bytes, compact, delete, everything, put, read, txn, when};
use kontiki::kv::{
    Caller, CommandLimits, Compare, KeyRange, Op, Range, ReadError, Refusal, Relation, Target, Txn,
};
use kontiki::machine::{Command, CommandResult};
use kontiki::types::Revision;
use std::cell::Cell;

const LIMIT: u64 = CommandLimits::FOUNDING.work;

fn put_op(key: &str) -> Op {
    Op::Put(put(key, "v"))
}

fn count_of(range: KeyRange) -> Op {
    Op::Range(Range { count_only: true, ..read(range) })
}

/// Puts `keys` keys below a prefix, many at a time.
fn fill(store: &mut Store, prefix: &str, keys: u64) {
    for first in (0..keys).step_by(1000) {
        let last = keys.min(first + 1000);
        let ops = (first..last).map(|key| put_op(&format!("{prefix}{key:07}"))).collect();
        store.done(Command::Txn(txn(vec![], ops, vec![])));
    }
}

/// That a command is refused for its work, does no more of it than it may, and changes nothing.
fn is_too_much(store: &mut Store, txn: Txn) {
    let (state, work) = (store.commit().state_hash(), store.machine.work_done());
    let refusal = store.refused(Command::Txn(txn));
    assert_eq!(refusal, Refusal::TooMuchWork { limit: LIMIT, actual: None });
    assert!(store.machine.work_done() - work <= LIMIT);
    assert_eq!(store.commit().state_hash(), state);
    store.put("a", "the next one is served");
}

/// Each of these held all nodes for many seconds, and then ended them.
#[test]
fn a_transaction_that_looks_at_everything_many_times_is_refused() {
    let mut store = Store::new();
    fill(&mut store, "k", 10_000);
    let everywhere = |target, relation| Compare { range: KeyRange::all(), target, relation };
    let values = vec![everywhere(Target::Value(bytes("x")), Relation::NotEqual); 128];
    is_too_much(&mut store, txn(values, vec![put_op("a")], vec![]));
    let numbers = vec![everywhere(Target::Version(0), Relation::Greater); 128];
    is_too_much(&mut store, txn(numbers, vec![put_op("a")], vec![]));
    let mut counts = vec![count_of(KeyRange::all()); 127];
    counts.insert(0, put_op("a"));
    is_too_much(&mut store, txn(vec![], counts, vec![]));
}

/// The figures of the documentation.
#[test]
fn what_counts_as_work() {
    let mut store = Store::new();
    fill(&mut store, "k", 10);
    store.put("long", &"x".repeat(1280));
    let mut spent = |command: Command| {
        let before = store.machine.work_done();
        store.done(command);
        store.machine.work_done() - before
    };
    let keys = || KeyRange::prefix("k");
    assert_eq!(spent(Command::Txn(txn(vec![], vec![count_of(keys())], vec![]))), 16 + 10);
    assert_eq!(spent(Command::Txn(txn(vec![], vec![], vec![count_of(keys())]))), 16, "not taken");
    let absent = when("absent", Target::Version(0), Relation::Equal);
    assert_eq!(spent(Command::Txn(txn(vec![absent], vec![], vec![]))), 16 + 1);
    let one = Op::Range(read(KeyRange::key("long")));
    assert_eq!(spent(Command::Txn(txn(vec![], vec![one], vec![]))), 16 + 1 + 64 + 10);
    let is_v = Compare { range: keys(), target: Target::Value(bytes("v")), relation: Relation::Equal };
    assert_eq!(spent(Command::Txn(txn(vec![is_v], vec![], vec![]))), 16 + 10 * (1 + 64));
    let is_x = Compare { range: keys(), target: Target::Value(bytes("x")), relation: Relation::Equal };
    assert_eq!(spent(Command::Txn(txn(vec![is_x], vec![], vec![]))), 16 + 1 + 64, "the first decides");
    assert_eq!(spent(Command::Put(put("k", &"x".repeat(1280)))), 16 + 10);
    assert_eq!(spent(Command::Delete(delete(keys()))), 11 * (1 + 5));
}

#[test]
fn the_limit_is_exact() {
    let mut store = Store::with_work_limit(16 * 10 + 26);
    fill(&mut store, "k", 5);
    fill(&mut store, "l", 5);
    let count = || Command::Txn(txn(vec![], vec![count_of(KeyRange::all()); 7], vec![]));
    assert!(matches!(store.apply(&count()).result, CommandResult::Txn(_)), "7 × (16 + 10)");
    store.put("one more", "v");
    assert_eq!(store.refused(count()), Refusal::TooMuchWork { limit: 186, actual: None });
}

/// A node that has collected what a compaction left, and one that has not.
#[test]
fn what_is_garbage_does_not_count() {
    let spent = |collected: bool| {
        let mut store = Store::new();
        fill(&mut store, "k", 100);
        store.delete(KeyRange::prefix("k"));
        fill(&mut store, "k", 50);
        store.done(compact(4));
        store.commit();
        if collected {
            store.collect(1000);
        }
        let before = store.machine.work_done();
        let compares = vec![Compare {
            range: KeyRange::all(),
            target: Target::Value(bytes("v")),
            relation: Relation::Equal,
        }];
        let ops = vec![count_of(KeyRange::all()), Op::Delete(delete(KeyRange::all()))];
        store.done(Command::Txn(txn(compares, ops, vec![])));
        store.machine.work_done() - before
    };
    assert_eq!(spent(false), spent(true));
}

/// How long that takes depends on what was deleted since, and on how much of it a node has collected.
#[test]
fn a_transaction_that_writes_reads_the_past_key_by_key() {
    let mut store = Store::new();
    store.put("a", "1");
    let of = |range| Command::Txn(txn(vec![], vec![put_op("b"), Op::Range(at(2, range))], vec![]));
    assert_eq!(store.refused(of(everything())), Refusal::PastRange { revision: Revision(2) });
    store.done(of(read(KeyRange::key("a"))));
    // Of one that only reads, whoever waits for it decides how long it may take.
    let reading = txn(vec![], vec![Op::Range(at(2, everything()))], vec![]);
    assert!(store.commit().read_txn(&reading).is_ok());
}

#[test]
fn what_no_state_would_allow_is_known_before() {
    let many = txn(vec![], vec![put_op("a"); 5], vec![count_of(KeyRange::all()); 6]);
    let nested = txn(vec![], vec![], vec![Op::Txn(many)]);
    assert_eq!(nested.size(), 12);
    assert_eq!(nested.check(191), Err(Refusal::TooMuchWork { limit: 191, actual: Some(192) }));
    assert!(matches!(nested.check(192), Err(Refusal::DuplicateKey { .. })));
    let mut store = Store::with_work_limit(191);
    let at_once = store.refused(Command::Txn(nested));
    assert_eq!(at_once, Refusal::TooMuchWork { limit: 191, actual: Some(192) });
}

/// A caller that leaves after so much work.
struct Leaves {
    after: u64,
    seen: Cell<u64>,
}

impl Leaves {
    fn after(after: u64) -> Self {
        Self { after, seen: Cell::new(0) }
    }
}

impl Caller for Leaves {
    fn still_waits(&self, work: u64) -> bool {
        self.seen.set(self.seen.get() + work);
        self.seen.get() < self.after
    }
}

/// It looks up at least this often.
const LOOK_UP: u64 = 640;

#[test]
fn a_read_stops_when_its_caller_leaves() {
    let mut store = Store::new();
    fill(&mut store, "k", 10_000);
    let view = store.commit();
    let stops = |read: &dyn Fn(&dyn Caller) -> Result<(), ReadError>| {
        let caller = Leaves::after(2000);
        assert_eq!(read(&caller), Err(ReadError::Abandoned));
        assert!(caller.seen.get() <= 2000 + LOOK_UP, "{}", caller.seen.get());
        assert_eq!(read(&Leaves::after(u64::MAX)), Ok(()));
    };
    let counts = txn(vec![], vec![count_of(KeyRange::all()); 5], vec![]);
    stops(&|caller| view.read_txn_for(caller, &counts).map(drop));
    let all =
        Compare { range: KeyRange::all(), target: Target::Value(bytes("v")), relation: Relation::Equal };
    let compares = txn(vec![all; 3], vec![], vec![]);
    stops(&|caller| view.read_txn_for(caller, &compares).map(drop));
    let count = Range { count_only: true, ..everything() };
    stops(&|caller| view.range_for(caller, &count).map(drop));
    stops(&|caller| view.range_for(caller, &everything()).map(drop));
    stops(&|caller| view.hash_for(caller, None).map(drop));
}

/// Keys that were deleted long ago are passed over one by one if a view is older than the deletes that are remembered.
#[test]
fn a_short_read_over_many_deleted_keys_is_work() {
    let mut store = Store::new();
    fill(&mut store, "k", 10_000);
    store.delete(KeyRange::prefix("k"));
    fill(&mut store, "z", 2000);
    let view = store.commit();
    for key in 0..2000 {
        store.delete(KeyRange::key(format!("z{key:07}")));
    }
    store.commit();
    let first = Range { limit: Some(1), ..read(KeyRange::prefix("k")) };
    let caller = Leaves::after(4608);
    assert_eq!(view.range_for(&caller, &first), Err(ReadError::Abandoned));
    assert!(caller.seen.get() <= 4608 + LOOK_UP, "{}", caller.seen.get());
    assert_eq!(view.range(&first).map(|found| found.kvs.len()), Ok(0));
}
