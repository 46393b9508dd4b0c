//! The linearizability checker, against a second implementation, a third by
//! brute force, and histories made wrong on purpose.

mod agreement;
mod generate;
mod lines;
mod pictures;
mod revisions;
mod speed;
mod wrong;

use kontiki::verify::{
    Answer, Call, Completion, History, Limits, Operation, Value, Verdict, Violation, check,
};

/// A history from a few words: `process call from..until = answer`.
#[derive(Default)]
struct Story(History);

impl Story {
    fn new() -> Self {
        Self::default()
    }

    fn add(mut self, process: u64, call: Call, invoked_ns: u64, outcome: Completion) -> Self {
        self.0.push(Operation { process, key: "x".into(), call, invoked_ns, outcome });
        self
    }

    fn write(self, process: u64, value: u64, (from, until): (u64, u64)) -> Self {
        self.add(process, Call::Write(value.into()), from, ok(until, Answer::Written))
    }

    fn read(self, process: u64, value: impl Into<Option<u64>>, (from, until): (u64, u64)) -> Self {
        self.add(process, Call::Read, from, ok(until, Answer::Read(Value::from(value.into()))))
    }

    fn cas(self, process: u64, old: u64, new: u64, swapped: bool, (from, until): (u64, u64)) -> Self {
        let call = Call::Cas { old: old.into(), new: new.into() };
        self.add(process, call, from, ok(until, Answer::Swapped(swapped)))
    }

    fn lost(self, process: u64, value: u64, from: u64) -> Self {
        self.add(process, Call::Write(value.into()), from, Completion::Unknown)
    }

    fn lost_cas(self, process: u64, old: u64, new: u64, from: u64) -> Self {
        let call = Call::Cas { old: old.into(), new: new.into() };
        self.add(process, call, from, Completion::Unknown)
    }

    fn failed(self, process: u64, value: u64, from: u64) -> Self {
        self.add(process, Call::Write(value.into()), from, Completion::Failed)
    }

    /// Gives the operation added last a revision.
    fn at(self, revision: u64) -> Self {
        let mut operations = self.0.operations().to_vec();
        if let Completion::Ok { revision: place, .. } = &mut operations.last_mut().unwrap().outcome {
            *place = Some(revision);
        }
        Self(operations.into_iter().collect())
    }

    /// Puts the operation added last on another key.
    fn on(self, key: &str) -> Self {
        let mut operations = self.0.operations().to_vec();
        operations.last_mut().unwrap().key = key.into();
        Self(operations.into_iter().collect())
    }

    fn is_right(&self) {
        assert_eq!(check(&self.0, &Limits::default()), Verdict::Linearizable);
    }

    fn is_wrong(&self) -> Violation {
        violation(&self.0)
    }
}

fn ok(completed_ns: u64, answer: Answer) -> Completion {
    Completion::Ok { completed_ns, answer, revision: None }
}

fn violation(history: &History) -> Violation {
    match check(history, &Limits::default()) {
        Verdict::NotLinearizable(violation) => *violation,
        verdict => panic!("{verdict:?}"),
    }
}

/// Whole, as for people.
fn words(violation: &Violation) -> Vec<String> {
    violation.operations.iter().map(Operation::words).collect()
}
