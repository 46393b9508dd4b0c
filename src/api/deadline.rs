//! The deadline of a request.
//!
//! A client says how much time is left. The server aims at answering a little before that: the client's own
//! clock started a moment earlier, and an answer that arrives after it gave up tells it nothing about the
//! outcome.

use crate::api::clock::{SystemClock, until};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a unary request may take, however long its client is ready to wait.
pub const LONGEST: Duration = Duration::from_secs(120);

/// The most time that is reserved for the answer's way back.
const MARGIN_MAX: Duration = Duration::from_millis(25);

/// When a request must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    margin: Duration,
    from_client: bool,
}

impl Deadline {
    /// For a request that arrives now: the time it `asked` for, or else the server's default.
    pub fn starting_at(now: Instant, asked: Option<Duration>, default: Duration) -> Self {
        let whole = asked.unwrap_or(default).min(LONGEST);
        let margin = (whole / 10).min(MARGIN_MAX);
        Self { at: now + (whole - margin), margin, from_client: asked.is_some() }
    }

    /// A deadline that does not come from a client.
    pub fn after(time: Duration) -> Self {
        Self::starting_at(Instant::now(), None, time)
    }

    /// When work for the request should stop.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// A little later than [`at`](Self::at): work that watches the deadline itself gets half of the margin to
    /// report its outcome, which nobody else knows as well.
    pub fn loosely(&self) -> Instant {
        self.at + self.margin / 2
    }

    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }

    /// Whether the client set it. A stream without one may take as long as the client keeps reading.
    pub fn is_from_client(&self) -> bool {
        self.from_client
    }

    /// Waits for it, but not past the deadline.
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        until(&SystemClock, self.at, work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_back_time_for_the_answer() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let long = Deadline::starting_at(now, Some(second), second);
        assert_eq!(long.at, now + second - MARGIN_MAX);
        let short = Deadline::starting_at(now, Some(Duration::from_millis(10)), second);
        assert_eq!(short.at, now + Duration::from_millis(9));
    }

    #[test]
    fn no_request_takes_for_ever() {
        let now = Instant::now();
        let without = Deadline::starting_at(now, None, Duration::from_secs(10));
        assert!(!without.is_from_client());
        assert!(without.at <= now + Duration::from_secs(10));
        let endless = Deadline::starting_at(now, Some(Duration::from_secs(1 << 30)), LONGEST);
        assert!(endless.at <= now + LONGEST);
    }
}
