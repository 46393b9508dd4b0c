//! Virtual time: the events to come, in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

/// A moment, counted from the beginning of the world.
pub type Time = Duration;

/// Shorthand.
pub const fn millis(count: u64) -> Time {
    Duration::from_millis(count)
}

/// The events to come. Two events at the same moment happen in the order in which they were planned.
#[derive(Debug)]
pub struct Agenda<E> {
    waiting: BinaryHeap<Reverse<Planned<E>>>,
    planned: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { waiting: BinaryHeap::new(), planned: 0 }
    }
}

impl<E> Agenda<E> {
    pub fn plan(&mut self, at: Time, event: E) {
        self.planned += 1;
        self.waiting.push(Reverse(Planned { at, number: self.planned, event }));
    }

    /// What happens next.
    pub fn next(&mut self) -> Option<(Time, E)> {
        self.waiting.pop().map(|Reverse(planned)| (planned.at, planned.event))
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl<E> Planned<E> {
    fn key(&self) -> (Time, u64) {
        (self.at, self.number)
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
