//! What an attack cost, and whether that was too much.

use super::case::{Case, Limits};
use super::innocent::Felt;
use super::tally::Tally;
use crate::faults::process::usage::Usage;
use std::fmt::Write as _;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Of one run of a case.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub felt: Felt,
    /// Of the node that took most.
    pub usage: Usage,
    pub elections: u64,
    /// The nodes that ended, with their last words.
    pub ended: Vec<String>,
    /// None: nothing was normal again within the longest that was waited.
    pub recovery: Option<Duration>,
    pub outcomes: Tally,
}

impl Figures {
    /// What exceeds its limit.
    pub fn objections(&self, limits: &Limits) -> Vec<String> {
        let Felt { acknowledged, refused, unknown, slowest, errors, .. } = &self.felt;
        let memory = self.usage.memory / MIB;
        let recovery = self.recovery.map_or_else(|| "no".to_owned(), |time| format!("after {time:.1?}"));
        let ended = self.ended.join("\n");
        let checks = [
            (*acknowledged == 0, "no innocent put was acknowledged".to_owned()),
            (*unknown > 0, format!("{unknown} innocent puts are in doubt: {errors:?}")),
            (
                *refused > limits.refused as u64,
                format!("{refused} innocent puts were refused, limit {}: {errors:?}", limits.refused),
            ),
            (
                *slowest > limits.slowest_put,
                format!("an innocent put took {slowest:.0?}, limit {:?}", limits.slowest_put),
            ),
            (
                memory > limits.memory_mib,
                format!("a node took {memory} MiB of memory, limit {}", limits.memory_mib),
            ),
            (
                self.usage.descriptors > limits.descriptors,
                format!("a node had {} descriptors, limit {}", self.usage.descriptors, limits.descriptors),
            ),
            (
                self.usage.threads > limits.threads,
                format!("a node had {} threads, limit {}", self.usage.threads, limits.threads),
            ),
            (
                self.elections > limits.elections,
                format!("{} elections, limit {}", self.elections, limits.elections),
            ),
            (self.ended.len() > limits.ended, format!("nodes ended by themselves: {ended}")),
            (
                self.recovery.is_none_or(|time| time > limits.recovery),
                format!("normal again: {recovery}, limit {:?}", limits.recovery),
            ),
        ];
        checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, words)| words).collect()
    }

    /// A line of the table.
    pub fn row(&self, case: &Case, verdict: &str) -> String {
        let recovery =
            self.recovery.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        format!(
            "{:34} {:5} {:>7.0} {:>7} {:>7} {:>6} {:>7} {:>5} {:>5} {:>6}  {verdict:7}  {}",
            case.name,
            case.fault,
            self.felt.slowest.as_secs_f64() * 1e3,
            self.felt.acknowledged,
            self.felt.refused,
            self.usage.memory / MIB,
            self.usage.descriptors,
            self.usage.threads,
            self.elections,
            recovery,
            self.outcomes,
        )
    }
}

/// The heading of the table.
pub fn heading() -> String {
    let mut heading = String::new();
    let columns = ["slowest", "puts", "refused", "memory", "files", "thr.", "el.", "normal"];
    write!(heading, "{:34} {:5}", "case", "fault").unwrap();
    for (column, width) in columns.into_iter().zip([7, 7, 7, 6, 7, 5, 5, 6]) {
        write!(heading, " {column:>width$}").unwrap();
    }
    heading + "  verdict  what became of the attack's requests"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within() -> Figures {
        Figures {
            felt: Felt { acknowledged: 1, ..Felt::default() },
            recovery: Some(Duration::ZERO),
            ..Figures::default()
        }
    }

    #[test]
    fn what_is_within_its_limits_is_not_objected_to() {
        assert_eq!(within().objections(&Limits::USUAL), Vec::<String>::new());
    }

    #[test]
    fn each_limit_can_fail_a_case() {
        type Change = fn(&mut Figures);
        let changes: [(Change, &str); 10] = [
            (|figures| figures.felt.acknowledged = 0, "no innocent put"),
            (|figures| figures.felt.unknown = 1, "in doubt"),
            (|figures| figures.felt.refused = 1, "refused"),
            (|figures| figures.felt.slowest = Duration::from_secs(1), "took 1s, limit 250ms"),
            (|figures| figures.usage.memory = 1 << 30, "1024 MiB of memory, limit 256"),
            (|figures| figures.usage.descriptors = 401, "401 descriptors, limit 400"),
            (|figures| figures.usage.threads = 65, "65 threads, limit 64"),
            (|figures| figures.elections = 1, "1 elections, limit 0"),
            (|figures| figures.ended.push("n1: the disk".into()), "nodes ended by themselves: n1: the disk"),
            (|figures| figures.recovery = None, "normal again: no, limit 2s"),
        ];
        for (change, expected) in changes {
            let mut figures = within();
            change(&mut figures);
            let said = figures.objections(&Limits::USUAL);
            assert!(said.len() == 1 && said[0].contains(expected), "{said:?} should say {expected:?}");
        }
    }
}
