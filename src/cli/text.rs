//! Keys, values, sizes and durations: for people and for JSON.

use crate::cli::exit::CliError;
use crate::client::{KeyValue, Meta};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::time::Duration;

/// The most that is read from standard input; more than any server takes.
const MOST_INPUT: u64 = 64 << 20;

/// The bytes that an argument means: its text, or what its hexadecimal digits say.
pub(super) fn argument(text: &str, hex: bool) -> Result<Bytes, CliError> {
    if !hex {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    unhex(text).ok_or_else(|| {
        CliError::Usage(format!("`{text}` is not hexadecimal; write two digits for each byte, as in 00ff"))
    })
}

/// The bytes that hexadecimal digits say, if they do.
pub(super) fn unhex(text: &str) -> Option<Bytes> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// All of standard input.
pub(super) fn standard_input() -> Result<Bytes, CliError> {
    let mut input = Vec::new();
    std::io::stdin()
        .lock()
        .take(MOST_INPUT + 1)
        .read_to_end(&mut input)
        .map_err(|error| CliError::local("read standard input", error))?;
    if input.len() as u64 > MOST_INPUT {
        return Err(CliError::Usage(format!("standard input is larger than {}", size(MOST_INPUT))));
    }
    Ok(input.into())
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes on one line that cannot upset a terminal: text as it is, all else escaped.
pub(super) fn shown(bytes: &[u8], as_hex: bool) -> String {
    if as_hex {
        return hex(bytes);
    }
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => shown.push_str("\\n"),
                '\t' => shown.push_str("\\t"),
                '\\' => shown.push_str("\\\\"),
                c if c.is_control() => shown.extend(c.escape_unicode()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Puts bytes into a JSON object: as text under `name`, or if they are none
/// as hexadecimal under `name_hex`.
pub(super) fn insert(object: &mut Map<String, Value>, name: &str, bytes: &[u8], as_hex: bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !as_hex => object.insert(name.to_owned(), text.into()),
        _ => object.insert(format!("{name}_hex"), hex(bytes).into()),
    };
}

/// A version of a key as JSON.
pub(super) fn key_value(kv: &KeyValue, keys_only: bool, as_hex: bool) -> Value {
    let mut object = Map::new();
    insert(&mut object, "key", &kv.key, as_hex);
    if !keys_only {
        insert(&mut object, "value", &kv.value, as_hex);
    }
    object.insert("create_revision".to_owned(), kv.create_revision.get().into());
    object.insert("mod_revision".to_owned(), kv.mod_revision.get().into());
    object.insert("version".to_owned(), kv.version.into());
    Value::Object(object)
}

/// What every JSON answer has: who answered, when and from which state.
pub(super) fn answered(meta: &Meta, rest: Value) -> Value {
    let mut object = Map::new();
    object.insert("revision".to_owned(), meta.revision.get().into());
    object.insert("served_by".to_owned(), meta.served_by.clone().into());
    object.insert("endpoint".to_owned(), meta.endpoint.to_string().into());
    object.insert("attempts".to_owned(), meta.attempts.into());
    object.insert("latency_ms".to_owned(), json!(millis(meta.latency)));
    if let Value::Object(rest) = rest {
        object.extend(rest);
    }
    Value::Object(object)
}

/// `OK  revision 2  (n2, 1.8 ms)`, with `what` between.
pub(super) fn ok(meta: &Meta, what: &str) -> String {
    let what = if what.is_empty() { String::new() } else { format!("{what}  ") };
    format!("OK  {what}revision {}  {}", meta.revision, by(meta))
}

/// `(n2, 1.8 ms)`
pub(super) fn by(meta: &Meta) -> String {
    format!("({}, {})", meta.served_by, duration(meta.latency))
}

/// A duration in three digits or so.
pub(super) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..10_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", duration.as_millis()),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are as exact as such a figure gets.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// How long something runs, in its two largest units.
pub(super) fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// A number of bytes in three digits or so.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    if unit == 0 || number >= 100.0 {
        format!("{number:.0} {}", UNITS[unit])
    } else {
        format!("{number:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(unhex("00fF").unwrap(), [0, 255].as_slice());
        assert_eq!(hex(&[0, 255]), "00ff");
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex("").unwrap(), [].as_slice());
    }

    #[test]
    fn what_is_shown_keeps_to_one_line_and_cannot_steer_a_terminal() {
        assert_eq!(shown("grüß".as_bytes(), false), "grüß");
        assert_eq!(shown(b"a\tb\n\x1b[2J\xff\\", false), "a\\tb\\n\\u{1b}[2J\\xff\\\\");
        assert_eq!(shown(b"ab", true), "6162");
    }

    #[test]
    fn figures_are_short() {
        let d = |micros| duration(Duration::from_micros(micros));
        assert_eq!([d(1_840), d(12_300), d(2_340_000)], ["1.8 ms", "12 ms", "2.3 s"]);
        let u = |seconds| uptime(Duration::from_secs(seconds));
        assert_eq!([u(5), u(65), u(3_700), u(90_000)], ["5s", "1m5s", "1h1m", "1d1h"]);
        assert_eq!(
            [size(0), size(1023), size(1536), size(200 << 20)],
            ["0 B", "1023 B", "1.5 KiB", "200 MiB"]
        );
    }

    #[test]
    fn json_tells_text_and_bytes_apart() {
        let mut object = Map::new();
        insert(&mut object, "key", b"a", false);
        insert(&mut object, "value", b"\xff", false);
        assert_eq!(Value::Object(object), json!({"key": "a", "value_hex": "ff"}));
    }
}
