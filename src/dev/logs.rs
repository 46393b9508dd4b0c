//! The last lines of a node's log.

use serde_json::Value;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// How much of a log's end is read at most.
const TAIL_BYTES: u64 = 32 << 10;

/// The last `count` lines of the file, oldest first.
///
/// # Errors
/// If it cannot be read.
pub fn tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut end)?;
    let text = String::from_utf8_lossy(&end);
    // If reading began in the middle, the first line is probably incomplete.
    let mut lines: Vec<String> = text.lines().skip(usize::from(start > 0)).map(str::to_owned).collect();
    lines.drain(..lines.len().saturating_sub(count));
    Ok(lines.iter().map(|line| readable(line)).collect())
}

/// A line as a person reads it: of a structured one the time of day, the level, the message and the rest in brackets.
fn readable(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return line.to_owned() };
    let mut take = |name: &str| fields.remove(name).map(|value| plain(&value)).unwrap_or_default();
    let [time, level, message] = ["timestamp", "level", "message"].map(&mut take);
    take("target");
    let time_of_day = time.split_once('T').map_or(&*time, |(_, time)| time.get(..8).unwrap_or(time));
    let rest: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
    let rest = if rest.is_empty() { String::new() } else { format!(" ({})", rest.join(", ")) };
    format!("{time_of_day} {level} {message}{rest}")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(text: &str, count: usize) -> Vec<String> {
        let tmp = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(tmp.path(), text).unwrap();
        tail(tmp.path(), count).unwrap()
    }

    #[test]
    fn a_short_log_is_shown_whole() {
        assert_eq!(tail_of("a\nb", 5), ["a", "b"]);
        assert_eq!(tail_of("", 5), Vec::<String>::new());
    }

    #[test]
    fn a_structured_line_is_readable() {
        let line = r#"{"timestamp":"2026-11-27T18:59:25.71Z","level":"WARN","message":"gone","peer":"n2","term":7,"target":"x"}"#;
        assert_eq!(tail_of(line, 1), ["18:59:25 WARN gone (peer: n2, term: 7)"]);
        assert_eq!(tail_of("{\"half\":", 1), ["{\"half\":"]);
    }

    #[test]
    fn a_long_log_is_shown_from_its_end_in_whole_lines() {
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(tail_of(&text, 2), ["line 19998", "line 19999"]);
        let many = tail_of(&text, usize::MAX);
        assert!(many.len() < 20_000 && many[0].starts_with("line "), "{}", many[0]);
    }
}
