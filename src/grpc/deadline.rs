//! Until when a request may take.
//!
//! gRPC sends the time that is left in the header `grpc-timeout`. The server
//! aims at answering a little before: the client's own clock runs since a
//! moment longer, and an answer that arrives after it gave up tells it nothing
//! about the outcome. (The transport drops a handler at the deadline, and what
//! it then answers has no details.)

use crate::settings::Limits;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// However long a client is ready to wait, a unary request ends by then.
pub const LONGEST: Duration = Duration::from_secs(120);

/// The most time that is kept back for the answer's way.
const MARGIN_MAX: Duration = Duration::from_millis(25);

/// Until when a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    margin: Duration,
    from_client: bool,
}

impl Deadline {
    /// The request's own deadline, else the server's default.
    pub fn of(metadata: &MetadataMap, limits: &Limits) -> Self {
        let asked = metadata.get("grpc-timeout").and_then(|value| parse(value.as_bytes()));
        Self::starting_at(Instant::now(), asked, limits.default_deadline)
    }

    fn starting_at(now: Instant, asked: Option<Duration>, default: Duration) -> Self {
        let whole = asked.unwrap_or(default).min(LONGEST);
        let margin = (whole / 10).min(MARGIN_MAX);
        Self { at: now + (whole - margin), margin, from_client: asked.is_some() }
    }

    /// A deadline that is not a client's.
    pub fn after(time: Duration) -> Self {
        Self::starting_at(Instant::now(), None, time)
    }

    /// When work for the request should stop.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// How much time is left.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether it passed.
    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }

    /// Whether the client set it. A stream that has none may take as long as it is read.
    pub fn is_from_client(&self) -> bool {
        self.from_client
    }

    /// Waits for it, but not past the deadline.
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.at, work).await.ok()
    }

    /// Like [`bound`](Self::bound), for work that knows the deadline itself:
    /// it gets half of the margin to say what came of it, which nobody else knows as well.
    pub async fn bound_loosely<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.at + self.margin / 2, work).await.ok()
    }
}

/// `grpc-timeout`: at most eight digits and a unit. What is malformed is
/// ignored, as the transport does.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_header_as_the_specification_has_it() {
        assert_eq!(parse(b"2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse(b"5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse(b"99999999m"), Some(Duration::from_millis(99_999_999)));
        assert_eq!(parse(b"7n"), Some(Duration::from_nanos(7)));
        for malformed in [&b""[..], b"S", b"5", b"5s", b"-5S", b"5.5S", b"123456789S"] {
            assert_eq!(parse(malformed), None, "{malformed:?}");
        }
    }

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
