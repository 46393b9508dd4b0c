//! The state machine against a model that keeps a full copy of the map for every revision.

use crate::kv::generate::{Step, reading_txn, steps};
use crate::kv::support::{Store, at, everything};
use bytes::Bytes;
use kontiki::kv::{
    Compare, Delete, DeleteResult, KeyRange, KeyValue, Op, OpResult, Order, Put, PutResult, Range,
    RangeResult, ReadError, Refusal, Relation, Target, Txn, TxnResult,
};
use kontiki::machine::{Command, CommandResult, Reply, View};
use kontiki::types::{EntryId, Revision};
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;

type Map = BTreeMap<Bytes, KeyValue>;

/// The whole map at every revision.
#[derive(Clone, Debug)]
pub struct Model {
    /// At revision 1, 2, …
    maps: Vec<Map>,
    compacted: u64,
}

impl Model {
    pub fn new() -> Self {
        Self { maps: vec![Map::new()], compacted: 0 }
    }

    pub fn revision(&self) -> u64 {
        self.maps.len() as u64
    }

    fn newest(&self) -> &Map {
        self.maps.last().unwrap()
    }

    pub fn apply(&mut self, command: &Command) -> Reply {
        let mut map = self.newest().clone();
        let past = match command {
            Command::Txn(txn) => past_range(txn),
            _ => None,
        };
        let outcome = match command {
            Command::Put(put) => Ok(CommandResult::Put(self.put(&mut map, put))),
            Command::Delete(delete) => Ok(CommandResult::Delete(self.delete(&mut map, delete))),
            Command::Txn(txn) if changes_twice(txn) => Err(Refusal::DuplicateKey { key: Bytes::new() }),
            Command::Txn(_) if past.is_some() => {
                Err(Refusal::PastRange { revision: past.expect("just looked") })
            }
            Command::Txn(txn) => self.txn(&mut map, txn).map(CommandResult::Txn),
            Command::Compact(compact) => self.compact(compact.revision),
            Command::Raise(_) => Ok(CommandResult::Raised),
        };
        if outcome.is_ok() && map != *self.newest() {
            self.maps.push(map);
        }
        Reply { revision: Revision(self.revision()), result: outcome.unwrap_or_else(CommandResult::Refused) }
    }

    pub fn read(&self, range: &Range) -> Result<RangeResult, Refusal> {
        self.read_from(self.newest(), range)
    }

    fn put(&self, map: &mut Map, put: &Put) -> PutResult {
        let mod_revision = Revision(self.revision() + 1);
        let old = map.get(&put.key).cloned();
        let (create_revision, version) = match &old {
            Some(old) => (old.create_revision, old.version + 1),
            None => (mod_revision, 1),
        };
        let (key, value) = (put.key.clone(), put.value.clone());
        map.insert(put.key.clone(), KeyValue { key, value, create_revision, mod_revision, version });
        PutResult { previous: old.filter(|_| put.return_previous) }
    }

    fn delete(&self, map: &mut Map, delete: &Delete) -> DeleteResult {
        let doomed = within(map, &delete.range);
        map.retain(|key, _| !delete.range.contains(key));
        let deleted = doomed.len() as u64;
        DeleteResult { deleted, previous: if delete.return_previous { doomed } else { vec![] } }
    }

    /// Refuses if anything on the path cannot be read, before any change is kept.
    fn txn(&self, map: &mut Map, txn: &Txn) -> Result<TxnResult, Refusal> {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        let results = ops.iter().map(|op| match op {
            Op::Put(put) => Ok(OpResult::Put(self.put(map, put))),
            Op::Delete(delete) => Ok(OpResult::Delete(self.delete(map, delete))),
            Op::Range(range) => self.read_from(map, range).map(OpResult::Range),
            Op::Txn(txn) => self.txn(map, txn).map(OpResult::Txn),
        });
        Ok(TxnResult { succeeded, results: results.collect::<Result<_, _>>()? })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let found = within(self.newest(), &compare.range);
        let related = |ordering: Ordering| match compare.relation {
            Relation::Equal => ordering.is_eq(),
            Relation::NotEqual => ordering.is_ne(),
            Relation::Greater => ordering.is_gt(),
            Relation::Less => ordering.is_lt(),
        };
        if found.is_empty() {
            return match &compare.target {
                Target::Version(n) => related(0.cmp(n)),
                Target::CreateRevision(n) | Target::ModRevision(n) => related(0.cmp(&n.get())),
                Target::Value(_) => false,
            };
        }
        found.iter().all(|kv| {
            related(match &compare.target {
                Target::Version(n) => kv.version.cmp(n),
                Target::CreateRevision(n) => kv.create_revision.cmp(n),
                Target::ModRevision(n) => kv.mod_revision.cmp(n),
                Target::Value(value) => kv.value.cmp(value),
            })
        })
    }

    fn compact(&mut self, requested: Revision) -> Result<CommandResult, Refusal> {
        let (oldest, current) = (Revision(self.compacted), Revision(self.revision()));
        if requested <= oldest {
            return Err(Refusal::Compacted { requested, oldest });
        }
        if requested > current {
            return Err(Refusal::FutureRevision { requested, current });
        }
        self.compacted = requested.get();
        Ok(CommandResult::Compact)
    }

    fn read_from(&self, newest: &Map, range: &Range) -> Result<RangeResult, Refusal> {
        let (oldest, current) = (Revision(self.compacted), Revision(self.revision()));
        let map = match range.revision {
            None => newest,
            Some(requested) if requested > current => {
                return Err(Refusal::FutureRevision { requested, current });
            }
            Some(requested) if requested < oldest => return Err(Refusal::Compacted { requested, oldest }),
            // Revision 0 is the time before the empty store.
            Some(requested) => &self.maps[requested.get().max(1) as usize - 1],
        };
        Ok(page(within(map, &range.range), range))
    }
}

fn within(map: &Map, range: &KeyRange) -> Vec<KeyValue> {
    map.values().filter(|kv| range.contains(&kv.key)).cloned().collect()
}

fn page(mut kvs: Vec<KeyValue>, range: &Range) -> RangeResult {
    if range.order == Order::Descending {
        kvs.reverse();
    }
    let total = kvs.len();
    if range.count_only {
        return RangeResult { kvs: vec![], more: false, count: Some(total as u64) };
    }
    if range.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    kvs.truncate(range.limit.unwrap_or(u64::MAX) as usize);
    if let Some(max) = range.max_bytes {
        let sizes = kvs.iter().map(|kv| (32 + kv.key.len() + kv.value.len()) as u64);
        let sums = sizes.scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        });
        let fit = sums.take_while(|sum| *sum <= max).count();
        kvs.truncate(fit.max(1));
    }
    let more = kvs.len() < total;
    RangeResult { kvs, more, count: range.with_count.then_some(total as u64) }
}

/// The first earlier revision at which more than one key is read, whichever branch is taken.
fn past_range(txn: &Txn) -> Option<Revision> {
    txn.success.iter().chain(&txn.failure).find_map(|op| match op {
        Op::Range(range) if range.range.is_single_key() => None,
        Op::Range(range) => range.revision,
        Op::Txn(txn) => past_range(txn),
        _ => None,
    })
}

/// Every pair of operations of a branch, with all that could happen in each.
fn changes_twice(txn: &Txn) -> bool {
    [&txn.success, &txn.failure].into_iter().any(|ops| {
        let nested = ops.iter().any(|op| matches!(op, Op::Txn(txn) if changes_twice(txn)));
        let pairs = (0..ops.len()).flat_map(|left| (0..ops.len()).map(move |right| (left, right)));
        nested
            || pairs.filter(|(left, right)| left != right).any(|(left, right)| clash(&ops[left], &ops[right]))
    })
}

fn clash(left: &Op, right: &Op) -> bool {
    match (left, right) {
        (Op::Txn(txn), other) => txn.success.iter().chain(&txn.failure).any(|op| clash(op, other)),
        (other, Op::Txn(txn)) => txn.success.iter().chain(&txn.failure).any(|op| clash(other, op)),
        (Op::Put(left), Op::Put(right)) => left.key == right.key,
        (Op::Put(put), Op::Delete(delete)) | (Op::Delete(delete), Op::Put(put)) => {
            delete.range.contains(&put.key)
        }
        _ => false,
    }
}

/// The model does not decide which of several duplicate keys is named.
pub fn without_duplicate(mut reply: Reply) -> Reply {
    if let CommandResult::Refused(Refusal::DuplicateKey { key }) = &mut reply.result {
        *key = Bytes::new();
    }
    reply
}

/// A view shows what the model holds, at every revision that can be read.
pub fn assert_same(view: &View, model: &Model) {
    assert_eq!(view.revision().get(), model.revision());
    assert_eq!(view.compact_revision().get(), model.compacted);
    assert_eq!(view.keys(), model.newest().len() as u64);
    for revision in 0..=model.revision() + 1 {
        let query = at(revision, everything());
        assert_eq!(
            view.range(&query),
            model.read(&query).map_err(ReadError::Refused),
            "at revision {revision}"
        );
    }
}

/// The machine under test beside the model, with the log to apply again after a crash.
struct World {
    store: Store,
    model: Model,
    log: Vec<Step>,
    replies: Vec<Option<Reply>>,
    view: View,
    model_of_view: Model,
    /// What a crash may leave: the index of the last entry that was saved, with the model and the state's hash then.
    /// Cleaning saves by itself what was committed, if garbage must be named first.
    saved: Vec<(u64, Model, u128)>,
}

impl World {
    fn new() -> Self {
        let mut store = Store::new();
        let (view, model) = (store.commit(), Model::new());
        let saved = vec![(0, model.clone(), view.state_hash())];
        Self { store, log: vec![], replies: vec![], view, model_of_view: model.clone(), model, saved }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Apply(_) | Step::Noop | Step::Members(_) => self.apply(step),
            Step::Read(range) => {
                let expected = self.model_of_view.read(range).map_err(ReadError::Refused);
                assert_eq!(self.view.range(range), expected);
            }
            Step::Commit => self.commit(),
            Step::Save => self.save(),
            Step::Collect(budget) => {
                self.store.collect_some(*budget);
                self.saved.push(self.committed());
            }
            Step::Crash => self.crash(),
        }
    }

    fn apply(&mut self, step: &Step) {
        let reply = perform(&mut self.store, step);
        match (step, &reply) {
            (Step::Apply(command), Some(reply)) => {
                assert_eq!(without_duplicate(reply.clone()), self.model.apply(command), "{command:?}");
            }
            _ => assert_eq!(reply, None),
        }
        self.log.push(step.clone());
        self.replies.push(reply);
    }

    fn commit(&mut self) {
        self.view = self.store.machine.commit().unwrap();
        self.model_of_view = self.model.clone();
        assert_eq!(self.view.applied(), EntryId::new(u64::from(!self.log.is_empty()), self.log.len() as u64));
        assert_same(&self.view, &self.model);
    }

    fn save(&mut self) {
        let saved = self.store.machine.saver().save().unwrap();
        assert_eq!(saved, self.view.applied(), "all that was committed");
        self.saved = vec![self.committed()];
    }

    fn committed(&self) -> (u64, Model, u128) {
        (self.view.applied().index.get(), self.model_of_view.clone(), self.view.state_hash())
    }

    fn crash(&mut self) {
        self.store = Store::open(self.store.table.clone());
        let applied = self.store.machine.applied().index.get();
        let saved = self.saved.drain(..).rfind(|(index, ..)| *index == applied);
        let (index, model, state_hash) = saved.expect("what was saved survives, nothing else does");
        self.saved = vec![(index, model.clone(), state_hash)];
        let view = self.store.machine.view();
        assert_eq!(view.state_hash(), state_hash);
        assert_same(&view, &model);
        for place in index as usize..self.log.len() {
            assert_eq!(perform(&mut self.store, &self.log[place]), self.replies[place]);
        }
        self.commit();
    }
}

/// Applies an entry.
pub fn perform(store: &mut Store, step: &Step) -> Option<Reply> {
    match step {
        Step::Apply(command) => return Some(store.apply(command)),
        Step::Noop => store.machine.apply_noop(store.next_id()),
        Step::Members(members) => store.machine.apply_members(store.next_id(), members.clone()),
        _ => {}
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Answers, reads of the past, counts, pages: everything is as the model
    /// says, whatever is committed, collected, lost and applied again in between.
    #[test]
    fn the_machine_does_what_the_model_does(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.commit();
        world.save();
        world.crash();
    }

    /// A transaction that only reads gets the same answer from a view as from the log. Past ranges, which
    /// only a view may read, are held against the model alone.
    #[test]
    fn reading_transactions_need_no_log(steps in steps(), txn in reading_txn()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.commit();
        let read = match world.view.read_txn(&txn) {
            Ok(result) => CommandResult::Txn(result),
            Err(ReadError::Refused(refusal)) => CommandResult::Refused(refusal),
            Err(error) => panic!("{error}"),
        };
        let expected = world.model.txn(&mut world.model.newest().clone(), &txn);
        prop_assert_eq!(&read, &expected.map_or_else(CommandResult::Refused, CommandResult::Txn));
        if past_range(&txn).is_none() {
            prop_assert_eq!(read, world.store.apply(&Command::Txn(txn)).result);
        }
    }
}
