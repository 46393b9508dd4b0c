//! Thousands of random histories, also checked by two others: stateright's tester, and trying every permutation.

use super::generate::{Shape, plain, right, tampered};
use super::violation;
use fastrand::Rng;
use kontiki::verify::{Answer, Call, Completion, History, Limits, Operation, Value, Verdict, check};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::collections::BTreeMap;

/// A register for stateright.
#[derive(Clone, Debug)]
struct Register(Option<u64>);

impl SequentialSpec for Register {
    type Op = Call;
    type Ret = Answer;

    fn invoke(&mut self, call: &Call) -> Answer {
        match call {
            Call::Read => Answer::Read(self.0.into()),
            Call::Write(value) => {
                self.0 = plain(value);
                Answer::Written
            }
            Call::Cas { old, new } => {
                let swaps = Value::from(self.0) == *old;
                if swaps {
                    self.0 = plain(new);
                }
                Answer::Swapped(swaps)
            }
        }
    }
}

/// Each key by itself: what was done, or may have been.
fn by_key(history: &History) -> BTreeMap<&str, Vec<&Operation>> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history.operations().iter().filter(|operation| operation.outcome != Completion::Failed) {
        keys.entry(&operation.key).or_default().push(operation);
    }
    keys
}

fn stateright_says(operations: &[&Operation]) -> bool {
    // Each in a thread of its own: then only time orders them.
    let mut events: Vec<(u64, usize, bool)> = Vec::new();
    for (thread, operation) in operations.iter().enumerate() {
        events.push((operation.invoked_ns, thread, false));
        events.extend(operation.completed_ns().map(|end| (end, thread, true)));
    }
    events.sort_by_key(|(time, thread, ended)| (*time, *ended, *thread));
    let mut tester = LinearizabilityTester::new(Register(None));
    for (_, thread, ended) in events {
        let operation = operations[thread];
        let done = match &operation.outcome {
            Completion::Ok { answer, .. } if ended => tester.on_return(thread, answer.clone()).map(|_| ()),
            _ => tester.on_invoke(thread, operation.call.clone()).map(|_| ()),
        };
        done.unwrap();
    }
    tester.is_consistent()
}

/// Whether some permutation explains the answers, by the definition.
fn permutations_say(left: &[&Operation], state: &Register) -> bool {
    let end = left.iter().filter_map(|operation| operation.completed_ns()).min();
    let Some(end) = end else { return true };
    left.iter().enumerate().filter(|(_, next)| next.invoked_ns <= end).any(|(place, next)| {
        let mut state = state.clone();
        let answer = state.invoke(&next.call);
        if matches!(&next.outcome, Completion::Ok { answer: given, .. } if *given != answer) {
            return false;
        }
        let mut left = left.to_vec();
        left.remove(place);
        permutations_say(&left, &state)
    })
}

fn we_say(history: &History) -> bool {
    match check(history, &Limits::default()) {
        Verdict::Linearizable => true,
        Verdict::NotLinearizable(_) => false,
        Verdict::Undecided(why) => panic!("{why}"),
    }
}

fn random(seed: u64) -> History {
    let mut rng = Rng::with_seed(seed);
    let shape = Shape {
        processes: rng.u64(2..=5),
        operations: rng.usize(3..=8),
        keys: rng.u64(1..=2),
        values: rng.u64(2..=4),
        unknown: [0, 2, 4][rng.usize(0..3)],
        lasts: [3, 12, 40][rng.usize(0..3)],
        revisions: false,
    };
    let mut history = right(&mut rng, shape);
    for _ in 0..rng.usize(0..4) {
        history = tampered(&mut rng, &history, shape.values);
    }
    history
}

#[test]
fn three_checkers_agree() {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..6_000 {
        let history = random(seed);
        let keys = by_key(&history);
        let stateright = keys.values().all(|operations| stateright_says(operations));
        let permutations = keys.values().all(|operations| permutations_say(operations, &Register(None)));
        let we = we_say(&history);
        assert_eq!((we, we), (stateright, permutations), "seed {seed}: {history:#?}");
        *if we { &mut right } else { &mut wrong } += 1;
    }
    assert!(right > 1_500 && wrong > 1_500, "{right} right, {wrong} wrong");
}

/// Equal times, which stateright's tester cannot express.
#[test]
fn permutations_agree_when_clocks_are_coarse() {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..4_000 {
        let history: History = random(seed)
            .operations()
            .iter()
            .cloned()
            .map(|mut operation| {
                operation.invoked_ns /= 20;
                if let Completion::Ok { completed_ns, .. } = &mut operation.outcome {
                    *completed_ns /= 20;
                }
                operation
            })
            .collect();
        let permutations =
            by_key(&history).values().all(|operations| permutations_say(operations, &Register(None)));
        let we = we_say(&history);
        assert_eq!(we, permutations, "seed {seed}: {history:#?}");
        *if we { &mut right } else { &mut wrong } += 1;
    }
    assert!(right > 800 && wrong > 800, "{right} right, {wrong} wrong");
}

/// The window alone, with all else made optional, has no order; and with any
/// one of it made optional too, it has.
#[test]
fn a_window_is_wrong_by_itself_and_minimal() {
    let mut found = 0;
    for seed in 0..3_000 {
        let history = random(seed);
        let Verdict::NotLinearizable(violation) = check(&history, &Limits::default()) else { continue };
        found += 1;
        let keys = by_key(&history);
        let weakened = |kept: &dyn Fn(&Operation) -> bool| -> Vec<Operation> {
            let called = keys[&*violation.key].iter().filter(|one| one.invoked_ns <= violation.until_ns());
            // A read, or a swap that was refused, changed nothing: without its answer it is nothing.
            let weaken = |one: &&Operation| match (kept(one), one.is_effect()) {
                (true, _) => Some((*one).clone()),
                (false, false) if one.completed_ns().is_some() => None,
                (false, _) => Some(Operation { outcome: Completion::Unknown, ..(*one).clone() }),
            };
            called.filter_map(weaken).collect()
        };
        let says = |operations: &[Operation]| {
            permutations_say(&operations.iter().collect::<Vec<_>>(), &Register(None))
        };
        let alone = weakened(&|one| violation.operations.contains(one));
        assert!(!says(&alone), "seed {seed}: the window has an order: {violation:#?}");
        for spared in &violation.operations {
            let fewer = weakened(&|one| one != spared && violation.operations.contains(one));
            assert!(says(&fewer), "seed {seed}: {spared} is not needed: {violation:#?}");
        }
    }
    assert!(found > 700, "{found} violations");
}

#[test]
fn what_a_register_did_is_always_accepted() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let shape = Shape {
            processes: rng.u64(1..=12),
            operations: 300,
            keys: rng.u64(1..=3),
            values: [0, 5, 30][rng.usize(0..3)],
            unknown: [0, 10, 50][rng.usize(0..3)],
            lasts: 20,
            revisions: rng.bool(),
        };
        let history = right(&mut rng, shape);
        let verdict = check(&history, &Limits::default());
        assert_eq!(verdict, Verdict::Linearizable, "seed {seed}: {shape:?}");
    }
}

/// Long histories that no other checker could judge, wrong in one known place.
#[test]
fn one_wrong_answer_in_a_long_history_is_found() {
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let shape = Shape {
            processes: 6,
            operations: 400,
            keys: 1,
            values: 0,
            unknown: 20,
            lasts: 10,
            revisions: false,
        };
        let history = right(&mut rng, shape);
        let mut operations = history.operations().to_vec();
        let last = operations.iter().filter_map(Operation::completed_ns).max().unwrap();
        // After everything has ended, a value that was overwritten long ago.
        let early = operations.iter().find(|one| one.is_effect()).unwrap().brings().cloned().unwrap();
        let answer = Answer::Read(early.clone());
        let outcome = Completion::Ok { completed_ns: last + 20, answer, revision: None };
        let key = operations[0].key.clone();
        operations.push(Operation { process: 99, key, call: Call::Read, invoked_ns: last + 10, outcome });
        let violation = violation(&operations.into_iter().collect());
        assert_eq!(violation.culprit().process, 99, "seed {seed}: {violation}");
        assert!(violation.operations.len() <= 4, "seed {seed}: {violation:#?}");
    }
}
