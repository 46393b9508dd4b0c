//! Keys, values, sizes and durations: for people and for JSON.

use crate::cli::exit::CliError;
use crate::client::{KeyValue, Meta};
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::time::Duration;

/// The most that is read from standard input; more than any server takes.
const MOST_INPUT: u64 = 64 << 20;

/// The bytes that an argument means: its text, or its decoded hexadecimal digits.
pub(super) fn argument(text: &str, as_hex: bool) -> Result<Bytes, CliError> {
    if !as_hex {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    unhex(text).ok_or_else(|| {
        CliError::Usage(format!("`{text}` is not hexadecimal; write two digits for each byte, as in 00ff"))
    })
}

/// The same for the end of a range. Empty, as an unset variable is, it would mean everything, which is too much to be
/// said by accident.
pub(super) fn bound(flag: &str, text: &str, as_hex: bool) -> Result<Bytes, CliError> {
    if text.is_empty() {
        return Err(CliError::Usage(format!("{flag} is empty; for everything say --all")));
    }
    argument(text, as_hex)
}

pub(super) fn unhex(text: &str) -> Option<Bytes> {
    hex::decode(text).ok().map(Bytes::from)
}

/// The revision that an argument means.
pub(super) fn revision(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => {
            Err("a revision is a whole number from 1 on; `kontiki status` shows the newest".to_owned())
        }
        Ok(revision) => Ok(revision),
    }
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

/// Bytes on one line, such that they cannot upset a terminal: text as it is, everything else escaped. Between quotes
/// the grammar of `txn` reads it back.
pub(super) fn shown(bytes: &[u8], as_hex: bool) -> String {
    let mut line = Vec::new();
    show(&mut line, bytes, as_hex);
    String::from_utf8(line).expect("what is shown is text")
}

/// The same for its beginning, and how much is left out, if it is longer than `most` bytes.
pub(super) fn shown_in_part(bytes: &[u8], as_hex: bool, most: usize) -> String {
    if bytes.len() <= most {
        return shown(bytes, as_hex);
    }
    // Not through the middle of a character.
    let is_inside = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let cut = (most.saturating_sub(3)..=most).rev().find(|cut| !is_inside(&bytes[*cut])).unwrap_or(most);
    format!("{}… ({} bytes more)", shown(&bytes[..cut], as_hex), bytes.len() - cut)
}

/// As [`shown`], appended to a line: a scan shows millions.
pub(super) fn show(line: &mut Vec<u8>, bytes: &[u8], as_hex: bool) {
    if as_hex {
        return line.extend_from_slice(hex::encode(bytes).as_bytes());
    }
    line.reserve(bytes.len());
    for chunk in bytes.utf8_chunks() {
        show_text(line, chunk.valid());
        for byte in chunk.invalid() {
            escape_byte(line, *byte);
        }
    }
}

fn show_text(line: &mut Vec<u8>, mut text: &str) {
    let is_escaped = |c: char| matches!(c, '\\' | '"') || c.is_control();
    while let Some(plain) = text.find(is_escaped) {
        let (shown, rest) = text.split_at(plain);
        line.extend_from_slice(shown.as_bytes());
        let mut rest = rest.chars();
        if let Some(c) = rest.next() {
            escape(line, c);
        }
        text = rest.as_str();
    }
    line.extend_from_slice(text.as_bytes());
}

/// As it is shown: escaped.
pub(super) fn escape(line: &mut Vec<u8>, c: char) {
    match c {
        '\n' => line.extend_from_slice(br"\n"),
        '\t' => line.extend_from_slice(br"\t"),
        '\\' => line.extend_from_slice(br"\\"),
        '"' => line.extend_from_slice(br#"\""#),
        _ => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape_byte(line, byte)),
    }
}

fn escape_byte(line: &mut Vec<u8>, byte: u8) {
    line.extend_from_slice(&[b'\\', b'x', high_digit(byte), low_digit(byte)]);
}

const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";

fn high_digit(byte: u8) -> u8 {
    HEX_DIGITS[usize::from(byte >> 4)]
}

fn low_digit(byte: u8) -> u8 {
    HEX_DIGITS[usize::from(byte & 15)]
}

/// A version of a key as JSON.
pub(super) fn key_value(kv: &KeyValue, keys_only: bool, as_hex: bool) -> Value {
    let shown = ShownVersion { kv, keys_only, as_hex };
    serde_json::to_value(shown).expect("text and numbers are JSON")
}

/// A version of a key, to be written as JSON without a tree in between. What is not text, or not wanted as
/// text, is in hexadecimal under another name.
pub(super) struct ShownVersion<'a> {
    pub kv: &'a KeyValue,
    pub keys_only: bool,
    pub as_hex: bool,
}

impl Serialize for ShownVersion<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        let mut bytes = |name, name_hex, bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) if !self.as_hex => object.serialize_entry(name, text),
            _ => object.serialize_entry(name_hex, &hex::encode(bytes)),
        };
        bytes("key", "key_hex", &self.kv.key)?;
        if !self.keys_only {
            bytes("value", "value_hex", &self.kv.value)?;
        }
        object.serialize_entry("create_revision", &self.kv.create_revision.get())?;
        object.serialize_entry("mod_revision", &self.kv.mod_revision.get())?;
        object.serialize_entry("version", &self.kv.version)?;
        object.end()
    }
}

/// The common part of every JSON answer: who answered, how fast and from which state.
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
    let what = if what.is_empty() { "OK".to_owned() } else { format!("OK  {what}") };
    answer(meta, &what)
}

/// `what  revision 2  (n2, 1.8 ms)`
pub(super) fn answer(meta: &Meta, what: &str) -> String {
    format!("{what}  revision {}  {}", meta.revision, by(meta))
}

/// `(n2, 1.8 ms)`
pub(super) fn by(meta: &Meta) -> String {
    format!("({}, {})", meta.served_by, duration(meta.latency))
}

/// A duration with about three digits.
pub(super) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..10_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", duration.as_millis()),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

fn millis(duration: Duration) -> f64 {
    // Such a figure is no more exact than a microsecond.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// How long something has been running, in its two largest units.
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

/// A number of bytes with about three digits.
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
    use crate::types::Revision;

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(unhex("00fF").unwrap(), [0, 255].as_slice());
        assert_eq!(shown(&[0, 255], true), "00ff");
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex("").unwrap(), [].as_slice());
    }

    #[test]
    fn what_is_shown_keeps_to_one_line_and_cannot_steer_a_terminal() {
        assert_eq!(shown("grüß".as_bytes(), false), "grüß");
        assert_eq!(shown(b"a\tb\n\x1b[2J\xff\\", false), "a\\tb\\n\\x1b[2J\\xff\\\\");
        assert_eq!(shown(b"\xe2\x82|\xe2\x82\xac|\xc2\x85|\xf5", false), "\\xe2\\x82|€|\\xc2\\x85|\\xf5");
        assert_eq!(shown(b"\0\x0f\x10\x7f", false), "\\x00\\x0f\\x10\\x7f");
        assert_eq!(shown(b"ab", true), "6162");
        assert_eq!(shown(br#"{"a":1}"#, false), r#"{\"a\":1}"#);
    }

    #[test]
    fn a_long_value_is_shown_in_part_and_its_rest_counted() {
        assert_eq!(shown_in_part(b"abcd", false, 4), "abcd");
        assert_eq!(shown_in_part(b"abcde", false, 4), "abcd… (1 bytes more)");
        assert_eq!(shown_in_part("abc€".as_bytes(), false, 4), "abc… (3 bytes more)");
        assert_eq!(shown_in_part(&[0x80; 9], true, 4), "80808080… (5 bytes more)");
    }

    #[test]
    fn an_empty_bound_is_not_everything() {
        assert!(bound("--from", "", false).is_err());
        assert_eq!(bound("--from", "a", false).unwrap(), "a");
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
        let (create_revision, mod_revision) = (Revision(0), Revision(0));
        let value = Bytes::from_static(&[0xff]);
        let kv = KeyValue { key: "a".into(), value, create_revision, mod_revision, version: 0 };
        let numbers =
            json!({"key": "a", "value_hex": "ff", "create_revision": 0, "mod_revision": 0, "version": 0});
        assert_eq!(key_value(&kv, false, false), numbers);
        assert_eq!(key_value(&kv, true, true)["key_hex"], "61");
    }
}
