//! Retries: how soon, and how often one is logged.

use std::time::Duration;
use tokio::time::Instant;

/// Pauses that double, with jitter so that nodes do not retry in lockstep.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `min` to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    pub fn reset(&mut self) {
        self.next = self.min;
    }

    /// The next pause: between half and all of a length that doubles each time.
    pub fn pause(&mut self) -> Duration {
        let length = self.next;
        self.next = (length * 2).min(self.max);
        length.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// Keeps a repeated problem from filling the log.
#[derive(Debug)]
pub struct LogThrottle {
    interval: Duration,
    last: Option<(Instant, String)>,
}

impl LogThrottle {
    /// The same line at most once per interval.
    pub fn new(interval: Duration) -> Self {
        Self { interval, last: None }
    }

    /// Forgets the last line: the next one will be logged.
    pub fn reset(&mut self) {
        self.last = None;
    }

    /// Whether the line is new, or old enough to be logged again.
    pub fn is_due(&mut self, line: &str) -> bool {
        let now = Instant::now();
        match &self.last {
            Some((at, said)) if said == line && now.duration_since(*at) < self.interval => false,
            _ => {
                self.last = Some((now, line.to_owned()));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_jitter() {
        let (min, max) = (Duration::from_millis(50), Duration::from_millis(300));
        let mut backoff = Backoff::new(min, max);
        for length in [50, 100, 200, 300, 300].map(Duration::from_millis) {
            let pause = backoff.pause();
            assert!(pause >= length / 2 && pause <= length, "{pause:?} of {length:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= min);
    }

    #[test]
    fn only_news_is_due() {
        let mut log_throttle = LogThrottle::new(Duration::from_secs(1000));
        assert!(log_throttle.is_due("away") && !log_throttle.is_due("away"));
        assert!(log_throttle.is_due("refused"));
        log_throttle.reset();
        assert!(log_throttle.is_due("refused"));
    }
}
