//! How much time a gRPC client allows: the header `grpc-timeout`. (When it is over the transport drops the
//! handler, and its own answer has no details.)

use crate::api::deadline::Deadline;
use crate::settings::Limits;
use http::HeaderMap;
use std::time::Duration;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// The request's own deadline, else the server's default.
pub fn deadline(metadata: &MetadataMap, limits: &Limits) -> Deadline {
    Deadline::starting_at(Instant::now(), asked(metadata.as_ref()), limits.default_deadline)
}

/// How much time the client allows, if it says so.
pub fn asked(headers: &HeaderMap) -> Option<Duration> {
    headers.get("grpc-timeout").and_then(|value| parse(value.as_bytes()))
}

/// At most eight digits and a unit. A malformed header is ignored, as the transport does.
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
}
