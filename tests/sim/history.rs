//! The clients' operations and answers, for the checker; and what became of each command, for the ledger.

use crate::sim::clients::{Wish, command};
use crate::sim::clock::Time;
use crate::sim::ledger::commits::Commits;
use crate::sim::ledger::entries::{Entries, hash_command};
use bytes::Bytes;
use kontiki::types::{Index, Revision};
use kontiki::verify::{self, Answer, Call, Completion, History, Operation, Value, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How an operation ended, as its client sees it.
#[derive(Clone, Debug)]
pub enum Finished {
    /// It is done, at this revision.
    Done(Revision),
    /// A delete found nothing, at this revision.
    NothingThere(Revision),
    /// Whether the values were exchanged, and at (or as of) which revision.
    Swapped(bool, Revision),
    /// What was there.
    Read(Vec<Option<Bytes>>, Revision),
    /// Committed, and then refused by the state: nothing was done.
    Refused,
    /// Certainly not done, and not committed.
    Failed,
    /// Perhaps.
    Unknown,
}

/// The checker treats keys one by one, each change with its own revision. So each of our
/// revisions becomes this many of them, one for each key that it changes.
const TOGETHER: u64 = 8;

/// All that clients did.
#[derive(Debug, Default)]
pub struct Histories {
    operations: Vec<Operation>,
    /// Commands that no two wishes share, by their hash.
    unique: BTreeSet<u64>,
    /// Commands that a client was told were certainly not done.
    refused: BTreeSet<u64>,
}

/// The name of a key.
pub fn key(number: u64) -> Bytes {
    Bytes::from(format!("key{number}"))
}

/// A value with a unique number.
pub fn value(number: u64, size: usize) -> Bytes {
    let mut text = number.to_string().into_bytes();
    text.resize(text.len().max(size), b' ');
    Bytes::from(text)
}

/// The number of a value.
fn number(value: &Bytes) -> u64 {
    let text = std::str::from_utf8(value).expect("values are text");
    text.trim_end().parse().expect("values begin with their number")
}

impl Histories {
    /// A wish's command leaves a client, perhaps not for the first time.
    pub fn issued(&mut self, wish: &Wish) {
        self.unique.extend(unique_command(wish));
    }

    /// An operation has ended.
    pub fn ended(&mut self, client: usize, wish: &Wish, begun: Time, now: Time, finished: Finished) {
        if let Finished::Failed = finished {
            self.refused.extend(unique_command(wish));
        }
        let mut push = |place: usize, key: &Bytes, call: Call, outcome: Completion| {
            self.operations.push(Operation {
                // An operation on several keys counts as several processes.
                process: client as u64 * TOGETHER + place as u64,
                key: Arc::from(std::str::from_utf8(key).expect("text")),
                call,
                invoked_ns: nanos(begun),
                outcome,
            });
        };
        let at = |answer: Answer, revision: Revision, place: usize| Completion::Ok {
            completed_ns: nanos(now),
            answer,
            revision: Some(revision.get() * TOGETHER + place as u64),
        };
        // What was seen: all of a revision.
        let outcome = |answer: Answer, revision: Revision| at(answer, revision, TOGETHER as usize - 1);
        let ended = |answer: Answer, place: usize| match &finished {
            Finished::Done(revision) => at(answer, *revision, place),
            Finished::Unknown => Completion::Unknown,
            _ => Completion::Failed,
        };
        match wish {
            Wish::Write { key, value } => {
                push(0, key, Call::Write(value_of(Some(value))), ended(Answer::Written, 0))
            }
            Wish::Delete { key } => match finished {
                // It changed nothing: it is as good as a read that found nothing.
                Finished::NothingThere(revision) => {
                    push(0, key, Call::Read, outcome(Answer::Read(Value::ABSENT), revision));
                }
                _ => push(0, key, Call::Write(Value::ABSENT), ended(Answer::Written, 0)),
            },
            Wish::Together { writes } => {
                for (place, (key, value)) in writes.iter().enumerate() {
                    push(place, key, Call::Write(value_of(Some(value))), ended(Answer::Written, place));
                }
            }
            Wish::Cas { key, old, new } => {
                let call = Call::Cas { old: value_of(old.as_ref()), new: value_of(Some(new)) };
                let outcome = match finished {
                    Finished::Swapped(true, revision) => at(Answer::Swapped(true), revision, 0),
                    Finished::Swapped(false, revision) => outcome(Answer::Swapped(false), revision),
                    Finished::Unknown => Completion::Unknown,
                    _ => Completion::Failed,
                };
                push(0, key, call, outcome);
            }
            Wish::Read { keys } => {
                for (place, key) in keys.iter().enumerate() {
                    let outcome = match &finished {
                        Finished::Read(values, revision) => {
                            outcome(Answer::Read(value_of(values[place].as_ref())), *revision)
                        }
                        _ => Completion::Failed,
                    };
                    push(place, key, Call::Read, outcome);
                }
            }
            Wish::Compact { .. } => {}
        }
    }

    /// How many operations the checker gets to see.
    pub fn len(&self) -> u64 {
        self.operations.len() as u64
    }

    /// Whether the history is linearizable.
    pub fn check(&self) {
        let history: History = self.operations.iter().cloned().collect();
        match verify::check(&history, &verify::Limits::default()) {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable(violation) => {
                panic!("not linearizable: {violation}\n{:#?}", violation.operations)
            }
            Verdict::Undecided(why) => panic!("the history could not be judged: {why}"),
        }
    }

    /// No command is committed twice, and none that a client was told was certainly not done.
    pub fn check_commands(&self, commits: &Commits, entries: &Entries) {
        let mut places = BTreeMap::new();
        for id in commits.from(Index(1)) {
            let Some(content) = entries.payload(*id).filter(|content| self.unique.contains(content)) else {
                continue;
            };
            if let Some(other) = places.insert(content, *id) {
                panic!("one command is committed twice, at {other} and at {id} (exactly once)");
            }
            let refused = self.refused.contains(&content);
            assert!(!refused, "{id} is committed, but its client was told that it certainly is not");
        }
    }
}

/// The hash of a wish's command, if no other wish has the same one: if it writes a value.
fn unique_command(wish: &Wish) -> Option<u64> {
    match wish {
        Wish::Write { .. } | Wish::Cas { .. } | Wish::Together { .. } => {
            Some(hash_command(&command(wish).encode()))
        }
        Wish::Read { .. } | Wish::Delete { .. } | Wish::Compact { .. } => None,
    }
}

fn value_of(value: Option<&Bytes>) -> Value {
    value.map(number).into()
}

fn nanos(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).expect("fits")
}
