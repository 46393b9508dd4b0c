//! How long it takes until a task that is ready gets its turn on the thread that serves requests.
//!
//! One long wait says little: the thread may have been paused once. What counts is the wait that stands, as in CoDel
//! (RFC 8289): the least that the last stretches of time had, each at its mean. (Not at its least: the runtime gives
//! some tasks their turn at once, however many wait.)

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a stretch is.
const STRETCH: Duration = Duration::from_millis(40);

/// The waits of all requests. Shared by the connections.
#[derive(Debug, Default)]
pub struct Turns {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// When the current stretch began; the waits in it and their number.
    began: Option<Instant>,
    sum: Duration,
    count: u32,
    /// The means of the two stretches before.
    means: [Duration; 2],
}

impl Turns {
    /// A request waited for so long. Returns the wait that stands.
    pub fn note(&self, waited: Duration, now: Instant) -> Duration {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).note(waited, now)
    }
}

impl Inner {
    fn note(&mut self, waited: Duration, now: Instant) -> Duration {
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_duration_since(began);
        if passed >= STRETCH {
            let mean = self.sum.checked_div(self.count).unwrap_or_default();
            // In a stretch that is missing nobody waited.
            let missing = passed >= 2 * STRETCH;
            self.means = if missing { [Duration::ZERO; 2] } else { [self.means[1], mean] };
            (self.began, self.sum, self.count) = (Some(now), Duration::ZERO, 0);
        }
        self.sum = self.sum.saturating_add(waited);
        self.count += 1;
        self.means[0].min(self.means[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What stands after requests that came once a millisecond for so long, each having waited for `waited`.
    fn after(turns: &Turns, now: &mut Instant, ms: u32, waited: Duration) -> Duration {
        let mut standing = Duration::ZERO;
        for _ in 0..ms {
            *now += MS;
            standing = turns.note(waited, *now);
        }
        standing
    }

    #[test]
    fn only_a_wait_that_stands_counts() {
        let (turns, mut now) = (Turns::default(), Instant::now());
        assert_eq!(after(&turns, &mut now, 200, MS / 10), MS / 10);
        assert_eq!(after(&turns, &mut now, 20, 50 * MS), MS / 10, "a pause");
        assert!(after(&turns, &mut now, 100, MS / 10) < MS, "and after it");
        assert_eq!(after(&turns, &mut now, 200, 50 * MS), 50 * MS, "overload");
        assert_eq!(after(&turns, &mut now, 200, MS / 10), MS / 10, "and after it");
    }

    #[test]
    fn silence_is_no_wait() {
        let (turns, mut now) = (Turns::default(), Instant::now());
        assert_eq!(after(&turns, &mut now, 200, 50 * MS), 50 * MS);
        now += 1000 * MS;
        assert_eq!(after(&turns, &mut now, 1, 50 * MS), Duration::ZERO);
    }
}
