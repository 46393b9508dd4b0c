//! What happened: for a person to read on a replay, and as one number that two
//! runs of the same seed must agree on.

use crate::sim::clock::Time;
use std::fmt::Display;

/// Text is produced only on request; the numbers always go into the hash.
#[derive(Debug)]
pub struct Trace {
    tells: bool,
    hash: u64,
}

impl Trace {
    pub fn new(tells: bool) -> Self {
        Self { tells, hash: 0xcbf2_9ce4_8422_2325 }
    }

    /// Something happened. `what` and `numbers` go into the hash.
    pub fn note<W: Display>(&mut self, now: Time, what: &str, numbers: &[u64], words: impl FnOnce() -> W) {
        self.mix(u64::try_from(now.as_nanos()).expect("fits"));
        for chunk in what.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(bytes));
        }
        for number in numbers {
            self.mix(*number);
        }
        if self.tells {
            println!("{:>12.6} {what:<9} {}", now.as_secs_f64(), words());
        }
    }

    fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// One number for everything that happened.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
