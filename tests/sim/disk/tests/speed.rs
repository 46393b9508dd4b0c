//! What an operation costs: thousands of seeds must run.

use super::{Model, formatted, open};
use crate::sim::disk::SimDisk;
use kontiki::raft::{Entry, HardState, Mark, Payload, Persist};
use kontiki::types::{EntryId, Index, Term};
use std::time::{Duration, Instant};

/// One entry of 100 bytes.
fn append(index: u64) -> [Persist; 1] {
    let payload = Payload::Command(vec![7; 100].into());
    let entries = vec![Entry { id: EntryId::new(1, index), payload }];
    let hard_state = (index == 1).then_some(HardState { term: Term(1), vote: None });
    [Persist { mark: Mark(index), hard_state, reset: None, entries }]
}

/// Appends, compacts now and then; answers the time per append and that of `durable`.
fn appends(disk: &SimDisk, count: u64) -> (Duration, Duration) {
    let mut log = open(disk, "speed").log;
    let started = Instant::now();
    for index in 1..=count {
        log.write(&append(index)).unwrap();
        if index % 1000 == 0 {
            log.compact(EntryId::new(1, index - 500)).unwrap();
        }
    }
    let writing = started.elapsed();
    let started = Instant::now();
    for _ in 0..count {
        assert_eq!(disk.durable().log.last.index, Index(count));
    }
    (writing / count as u32, started.elapsed() / count as u32)
}

#[test]
fn many_operations_cost_little_time_and_little_room() {
    let disk = formatted(1);
    let (write, durable) = appends(&disk, 20_000);
    let started = Instant::now();
    disk.kill();
    let opened = open(&disk, "speed");
    let reopen = started.elapsed();
    println!("write {write:?}, durable {durable:?}, reopen {reopen:?}");
    assert!(opened.storer.size_on_disk().unwrap() < 2 << 20, "garbage is left behind");
    // Loose: what is to be noticed is a cost that grows with the log.
    assert!(write < Duration::from_millis(1) && durable < Duration::from_millis(1));
    assert_eq!(Model { log: opened.restored }.log.last(), EntryId::new(1, 20_000));
}
