//! Random histories: of a real register, and of one that was tampered with.

use fastrand::Rng;
use kontiki::verify::{Answer, Call, Completion, History, Operation, Value};

/// The shape of a random history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub processes: u64,
    pub operations: usize,
    pub keys: u64,
    /// Values are drawn from this many; 0 for a fresh one each time.
    pub values: u64,
    /// One in this many has an unknown outcome; 0 for none.
    pub unknown: u64,
    /// How long an operation lasts, at most.
    pub lasts: u64,
    pub revisions: bool,
}

/// What a real store would have answered: every operation takes effect at a
/// random moment between its call and its answer. All times differ.
pub(super) fn right(rng: &mut Rng, shape: Shape) -> History {
    struct Plan {
        process: u64,
        invoked: u64,
        effect: u64,
        completed: u64,
    }
    let mut plans: Vec<Plan> = Vec::new();
    let mut clocks: Vec<u64> = (0..shape.processes).collect();
    // Each process has times of its own, so that no two events share one.
    let step = shape.processes + 1;
    for _ in 0..shape.operations {
        let process = rng.usize(0..clocks.len());
        let clock = clocks[process];
        let lasts = rng.u64(1..=shape.lasts);
        let invoked = clock + step * rng.u64(1..=shape.lasts);
        let completed = invoked + step * lasts;
        let effect = rng.u64(invoked..=completed);
        clocks[process] = completed;
        plans.push(Plan { process: process as u64, invoked, effect, completed });
    }
    plans.sort_by_key(|plan| plan.effect);
    let mut store = std::collections::HashMap::<u64, Option<u64>>::new();
    let (mut revision, mut fresh) = (1, 0);
    let mut history = History::new();
    for plan in plans {
        let key = rng.u64(0..shape.keys);
        let state = store.entry(key).or_default();
        let mut value = |rng: &mut Rng| {
            fresh += 1;
            if shape.values == 0 { fresh } else { rng.u64(0..shape.values) }
        };
        let certain = shape.unknown == 0 || rng.u64(0..shape.unknown) > 0;
        let fails = !certain && rng.u64(0..4) == 0;
        let done = certain || (!fails && rng.bool());
        let before = *state;
        let (call, answer) = match rng.u64(0..4) {
            0 | 1 => (Call::Read, Answer::Read(before.into())),
            2 => {
                let value = value(rng);
                if done {
                    *state = Some(value);
                    revision += 1;
                }
                (Call::Write(value.into()), Answer::Written)
            }
            _ => {
                let old = if rng.bool() { before } else { Some(rng.u64(0..shape.values.max(3))) };
                let new = value(rng);
                if done && before == old {
                    *state = Some(new);
                    revision += 1;
                }
                let call = Call::Cas { old: old.into(), new: new.into() };
                (call, Answer::Swapped(before == old))
            }
        };
        let outcome = if certain {
            let revision = shape.revisions.then_some(revision);
            Completion::Ok { completed_ns: plan.completed, answer, revision }
        } else if fails {
            Completion::Failed
        } else {
            Completion::Unknown
        };
        let key = format!("k{key}").into();
        history.push(Operation { process: plan.process, key, call, invoked_ns: plan.invoked, outcome });
    }
    history
}

/// Changes one answer, or one time, or one revision.
pub(super) fn tampered(rng: &mut Rng, history: &History, values: u64) -> History {
    let mut operations = history.operations().to_vec();
    let some = operations.len();
    let operation = &mut operations[rng.usize(0..some)];
    match &mut operation.outcome {
        Completion::Ok { answer: Answer::Read(value), .. } if rng.u64(0..4) > 0 => {
            *value = rng.bool().then(|| rng.u64(0..values)).into();
        }
        Completion::Ok { answer: Answer::Swapped(swapped), .. } if rng.u64(0..4) > 0 => *swapped = !*swapped,
        Completion::Ok { completed_ns, revision, .. } => {
            *completed_ns = (*completed_ns - operation.invoked_ns) / 3 + operation.invoked_ns;
            if let Some(revision) = revision {
                *revision = (*revision + rng.u64(0..4)).saturating_sub(2);
            }
        }
        outcome => *outcome = Completion::Failed,
    }
    operations.into_iter().collect()
}

/// The value that a number stands for, as the other checkers have it.
pub(super) fn plain(value: &Value) -> Option<u64> {
    value.as_json().parse().ok()
}
