//! Quantities as people write them.

use std::time::Duration;

/// A number with its unit: `500ms`, `1.5s`, `1m 30s`. A bare number is refused: five what?
///
/// # Errors
/// What is wrong, with an example.
pub fn duration(text: &str) -> Result<Duration, String> {
    // The crate accepts a bare 0; here every duration needs a unit.
    let lone = text.trim().bytes().all(|byte| byte.is_ascii_digit());
    match humantime::parse_duration(text) {
        Ok(duration) if !lone => Ok(duration),
        _ => Err(format!("`{text}` is not a valid duration; write a number and its unit: 500ms, 5s or 1m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "0", "5", "s", "-1s", "1 potato", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
