//! A small table as part of a state: what a crash, a snapshot or an old view leaves of it.

use super::*;
use crate::machine::memory_table::MemoryTable;
use crate::types::{Index, Revision};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The expected state.
type Model = BTreeMap<u8, u8>;

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8),
    Remove(u8),
    /// Makes a revision.
    Put(u8),
    Commit,
    Save,
    Collect,
    /// Keeps the current view.
    Look,
    /// Ends with the oldest view that is kept.
    LookAway,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u8, any::<u8>()).prop_map(|(key, value)| Step::Set(key, value)),
        3 => (0..4u8).prop_map(Step::Remove),
        1 => (0..4u8).prop_map(Step::Put),
        3 => Just(Step::Commit),
        1 => Just(Step::Save),
        2 => Just(Step::Collect),
        1 => Just(Step::Look),
        1 => Just(Step::LookAway),
        1 => Just(Step::Crash),
    ]
}

/// A machine that uses the table of members with several keys.
struct World {
    table: Arc<MemoryTable>,
    machine: Machine,
    /// What each entry made; the first is the empty state's.
    states: Vec<Model>,
    saved: usize,
    views: Vec<View>,
}

impl World {
    fn new() -> Self {
        let table = Arc::new(MemoryTable::new());
        let machine = Machine::open(Arc::<MemoryTable>::clone(&table)).unwrap();
        Self { table, machine, states: vec![Model::new()], saved: 0, views: Vec::new() }
    }

    fn change(&mut self, key: u8, value: Option<u8>) {
        let at = self.machine.next_place();
        let change = self.machine.tables.members.set(at, &[key], value.as_ref().map(std::slice::from_ref));
        let mut hasher = Xxh3::new();
        self.machine.write(change, &mut hasher);
        self.machine.finish(self.next(), Some(&hasher));
        let mut state = self.states.last().unwrap().clone();
        match value {
            Some(value) => drop(state.insert(key, value)),
            None => drop(state.remove(&key)),
        }
        self.states.push(state);
    }

    fn put(&mut self, key: u8) {
        let put =
            crate::kv::Put { key: vec![key].into(), value: vec![7; 900].into(), return_previous: false };
        self.machine.apply(self.next(), &Command::Put(put).encode()).unwrap();
        self.states.push(self.states.last().unwrap().clone());
    }

    fn next(&self) -> EntryId {
        EntryId::new(1, self.states.len() as u64)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Set(key, value) => self.change(key, Some(value)),
            Step::Remove(key) => self.change(key, None),
            Step::Put(key) => self.put(key),
            Step::Commit => drop(self.machine.commit().unwrap()),
            Step::Save => {
                self.machine.saver().save().unwrap();
                self.saved = index(&self.machine.view());
            }
            Step::Collect => drop(self.machine.collect_garbage(Budget { keys: 2, blocks: 1 }).unwrap()),
            Step::Look => self.views.push(self.machine.view()),
            Step::LookAway => drop((!self.views.is_empty()).then(|| self.views.remove(0))),
            Step::Crash => self.crash(),
        }
        let newest = self.machine.view();
        for view in self.views.iter().chain([&newest]) {
            assert_eq!(seen(view), self.states[index(view)]);
        }
    }

    fn crash(&mut self) {
        self.views.clear();
        self.machine = Machine::open(Arc::<MemoryTable>::clone(&self.table)).unwrap();
        let applied = index(&self.machine.view());
        assert!(applied >= self.saved);
        self.states.truncate(applied + 1);
        assert_eq!(self.kept(), self.states[applied].len(), "what cannot be seen is not loaded");
    }

    /// How many records are in memory.
    fn kept(&self) -> usize {
        let members = &self.machine.tables.members;
        (0..4).filter(|key| members.get(&[*key], Ordinal::end_of(Revision(u64::MAX))).is_some()).count()
    }
}

fn index(view: &View) -> usize {
    let Index(index) = view.applied().index;
    index as usize
}

fn seen(view: &View) -> Model {
    let value = |key: u8| Some((key, view.tables.members.get(&[key], view.meta.last)?[0]));
    (0..4).filter_map(value).collect()
}

proptest! {
    /// Every view shows its own state, whatever comes later, and so does a copy of it.
    #[test]
    fn a_small_table_is_part_of_the_state(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        for view in &world.views {
            let copy = MemoryTable::new();
            for record in view.export().unwrap() {
                let (key, value) = record.unwrap();
                copy.set(&key, &value).unwrap();
            }
            let copy = Machine::open(Arc::new(copy)).unwrap().view();
            prop_assert_eq!(seen(&copy), seen(view));
            prop_assert_eq!(copy.state_hash(), view.state_hash());
            prop_assert_eq!(copy.hash(None), view.hash(None));
        }
    }
}

/// Nothing of what was replaced or removed stays, in memory or on disk, once no view needs it.
#[test]
fn what_was_replaced_leaves() {
    let mut world = World::new();
    for round in (0..248).cycle().take(1984) {
        world.change(round % 4, (round % 8 < 4).then_some(1));
        world.put(9);
        world.step(&Step::Commit);
    }
    let revision = world.machine.view().revision();
    let compact = Command::Compact(crate::kv::Compact { revision });
    world.machine.apply(world.next(), &compact.encode()).unwrap();
    world.machine.commit().unwrap();
    while world.machine.collect_garbage(Budget { keys: 100, blocks: 100 }).unwrap() {
        world.machine.commit().unwrap();
    }
    world.machine.saver().save().unwrap();
    assert_eq!(world.kept(), 0);
    let blocks = world.table.scan(Bound::Unbounded, Bound::Excluded(&Meta::TABLE_KEY));
    assert_eq!(blocks.count(), 1, "that of the last put");
}

/// It is counted no longer once it is replaced, long before it is dropped: then there is no new meta record to wait for.
#[test]
fn what_is_dropped_is_garbage_before_blocks_are_cleaned() {
    let mut world = World::new();
    world.change(0, Some(1));
    world.change(0, Some(2));
    for step in [Step::Commit, Step::Save, Step::Collect, Step::Commit, Step::Collect] {
        world.step(&step);
    }
    assert_eq!(world.machine.store.doomed(), 0);
}
