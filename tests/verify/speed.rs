//! Long histories. Small here; `make histories` takes a million operations of each kind.

use super::generate::{Shape, right};
use fastrand::Rng;
use kontiki::verify::{Answer, Call, Completion, History, Limits, Operation, Verdict, check, read, write};
use std::time::{Duration, Instant};

/// How many operations must be checked within a minute on an otherwise idle machine.
const MANY: usize = 1_000_000;

fn size() -> usize {
    std::env::var("VERIFY_OPERATIONS").map_or(20_000, |text| text.parse().unwrap())
}

fn long(name: &str, shape: Shape) -> History {
    let history = right(&mut Rng::with_seed(1), Shape { operations: size(), ..shape });
    let start = Instant::now();
    assert_eq!(check(&history, &Limits::default()), Verdict::Linearizable, "{name}");
    let took = start.elapsed();
    println!("{name}: {} operations in {took:?}", size());
    assert!(size() < MANY || took < Duration::from_secs(60), "{name}: a million operations take {took:?}");
    history
}

const SHAPE: Shape =
    Shape { processes: 16, operations: 0, keys: 100, values: 0, unknown: 50, lasts: 10, revisions: false };

#[test]
fn with_revisions() {
    let history = long("with revisions, 100 keys", Shape { revisions: true, ..SHAPE });
    let start = Instant::now();
    let mut text = Vec::new();
    write(&history, &mut text).unwrap();
    println!("written as {} bytes in {:?}", text.len(), start.elapsed());
    let start = Instant::now();
    assert_eq!(read(&text[..]).unwrap().len(), history.len());
    println!("read in {:?}", start.elapsed());
    long("with revisions, 1 key", Shape { revisions: true, keys: 1, ..SHAPE });
}

#[test]
fn without_revisions() {
    long("searched, 100 keys", SHAPE);
    long("searched, 1 key, 16 processes", Shape { keys: 1, ..SHAPE });
    long("searched, 1 key, 16 processes, 5 values", Shape { keys: 1, values: 5, unknown: 0, ..SHAPE });
    long("searched, 1 key, 5 values, unknown", Shape { keys: 1, values: 5, ..SHAPE });
}

/// Where the wrong answer is decides how much must be looked at to find its window.
#[test]
fn one_stale_read() {
    for revisions in [false, true] {
        for part in [0.01, 0.5, 1.0] {
            let shape = Shape { operations: size(), keys: 1, revisions, ..SHAPE };
            let mut operations = right(&mut Rng::with_seed(1), shape).operations().to_vec();
            let before = &operations[..(size() as f64 * part) as usize - 1];
            let end = before.iter().filter_map(Operation::completed_ns).max().unwrap();
            let overwritten = |one: &&Operation| one.is_effect() && one.completed_ns().is_some();
            let seen = before.iter().rev().skip(100).find(overwritten).unwrap();
            let (answer, revision) = (Answer::Read(seen.brings().unwrap().clone()), seen.revision());
            operations.push(read_at(end + 10, answer, revision));
            let name = format!("a stale read after {part} of them, revisions: {revisions}");
            finds_the_window(&name, operations, 4);
        }
    }
}

fn read_at(invoked_ns: u64, answer: Answer, revision: Option<u64>) -> Operation {
    let outcome = Completion::Ok { completed_ns: invoked_ns + 10, answer, revision };
    Operation { process: 99, key: "k0".into(), call: Call::Read, invoked_ns, outcome }
}

fn finds_the_window(name: &str, operations: Vec<Operation>, most: usize) {
    let start = Instant::now();
    let violation = super::violation(&operations.into_iter().collect());
    println!("{name}: {} of {} operations in {:?}", violation.operations.len(), size(), start.elapsed());
    assert_eq!(violation.culprit().process, 99);
    assert!(violation.operations.len() <= most, "{violation:#?}");
}
