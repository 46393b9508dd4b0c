//! How long no write was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

/// One step, in time since the start.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// What was done.
    pub label: &'static str,
    /// When it began.
    pub hurt: Duration,
    /// When all was healed.
    pub healed: Duration,
    /// When the next step began.
    pub over: Duration,
}

/// For each label, the longest time without an acknowledged write. It counts from the fault
/// at the earliest, and to the next acknowledgement, be it after the step. Only what
/// begins in the peace at the end of a step ends with the step: the rest is for the next one.
pub fn longest(
    windows: &[Window],
    acknowledged: &[Duration],
    end: Duration,
) -> BTreeMap<&'static str, Duration> {
    let mut sorted = acknowledged.to_vec();
    sorted.sort_unstable();
    let mut longest = BTreeMap::new();
    for window in windows {
        let known: &mut Duration = longest.entry(window.label).or_default();
        *known = longest_in(window, &sorted, end).max(*known);
    }
    longest
}

fn longest_in(window: &Window, sorted: &[Duration], end: Duration) -> Duration {
    let first = sorted.partition_point(|time| *time < window.hurt);
    let mut last = window.hurt;
    let mut longest = Duration::ZERO;
    for time in sorted[first..].iter().copied().chain([end]) {
        let until = if last < window.healed { time } else { time.min(window.over) };
        longest = longest.max(until.saturating_sub(last));
        if time >= window.over {
            break;
        }
        last = time;
    }
    longest
}

#[test]
fn a_gap_counts_from_the_fault_to_the_next_write() {
    let at = Duration::from_secs;
    let acknowledged = [1, 2, 9, 10, 11, 12, 13, 20].map(at);
    let window =
        |label, hurt, healed, over| Window { label, hurt: at(hurt), healed: at(healed), over: at(over) };
    let windows = [window("kill", 3, 4, 5), window("pause", 8, 11, 14), window("kill", 12, 13, 14)];
    let gaps = longest(&windows, &acknowledged, at(30));
    assert_eq!(gaps["kill"], at(6), "from 3, not from 2, to 9");
    assert_eq!(gaps["pause"], at(1), "after 13 there was peace, and then another step");
    let late = longest(&[window("kill", 21, 22, 23)], &acknowledged, at(30));
    assert_eq!(late["kill"], at(9), "nothing more was acknowledged");
}
