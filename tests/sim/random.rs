//! Randomness, all of it from the seed.

use std::ops::Range;
use std::time::Duration;

/// A separate random stream, so that a change in one part of the world does not affect the others.
#[derive(Clone, Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A stream that depends on this one, and on nothing that is drawn from it later.
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.f64() < probability
    }

    /// A number of the range.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        self.0.u64(range)
    }

    /// A number that fits a raft seed.
    pub fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.0.f64()
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.usize(..choices.len())]
    }

    /// One by weight; the weights are not all 0.
    pub fn weighted<T: Copy>(&mut self, choices: &[(T, u32)]) -> T {
        let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
        let mut pick = self.0.u32(..total);
        for (choice, weight) in choices {
            if pick < *weight {
                return *choice;
            }
            pick -= weight;
        }
        unreachable!("below the total")
    }

    /// A time between two.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).expect("fits");
        Duration::from_nanos(self.0.u64(nanos(range.start)..nanos(range.end)))
    }

    /// A time with this mean that is often short and sometimes long.
    pub fn time_about(&mut self, mean: Duration) -> Duration {
        mean.mul_f64((-(1.0 - self.share()).ln()).min(10.0))
    }

    /// Brings these into any order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        self.0.shuffle(all);
    }
}
