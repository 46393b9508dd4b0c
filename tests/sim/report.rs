//! What many seeds did, so that "nothing found" can be weighed.

use crate::sim::clock::Time;
use std::collections::BTreeMap;
use std::fmt;

/// What one seed did, or many together.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub seeds: u64,
    /// Events that the world went through.
    pub steps: u64,
    /// Virtual time.
    pub time: Time,
    /// One number for all that happened; of one seed only.
    pub trace: u64,
    /// What was counted, by name: operations by kind and outcome…
    pub operations: BTreeMap<&'static str, u64>,
    /// …faults that took effect…
    pub faults: BTreeMap<&'static str, u64>,
    /// …and what happened on the way.
    pub events: BTreeMap<&'static str, u64>,
}

/// Adds to a count.
pub fn count(counts: &mut BTreeMap<&'static str, u64>, name: &'static str, more: u64) {
    if more > 0 {
        *counts.entry(name).or_default() += more;
    }
}

impl Summary {
    /// Takes in another one.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.time += other.time;
        for (mine, theirs) in [
            (&mut self.operations, &other.operations),
            (&mut self.faults, &other.faults),
            (&mut self.events, &other.events),
        ] {
            for (name, more) in theirs {
                count(mine, name, *more);
            }
        }
    }

    pub fn of(&self, name: &str) -> u64 {
        let counts = [&self.operations, &self.faults, &self.events];
        counts.iter().find_map(|counts| counts.get(name)).copied().unwrap_or(0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.time.as_secs_f64() / 3600.0;
        writeln!(f, "{} seeds, {hours:.1} simulated hours, {} steps", self.seeds, self.steps)?;
        for (title, counts) in
            [("operations", &self.operations), ("faults", &self.faults), ("events", &self.events)]
        {
            writeln!(f, "{title}:")?;
            for (name, count) in counts {
                writeln!(f, "  {count:>10}  {name}")?;
            }
        }
        Ok(())
    }
}
