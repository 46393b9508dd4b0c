//! From text to a value: one function for each kind of setting.

use crate::address::{HostPort, NodeUrl};
use crate::config::serve_config::LogFormat;
use crate::member::URL_BYTES_MAX;
use crate::settings::Timing;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A duration longer than this is taken for a mistake in the unit.
const LONGEST: Duration = Duration::from_secs(600);

pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err(format!("`{text}` is not a valid name; use 1 to 64 letters, digits, `-`, `_` and `.`"));
    }
    Ok(text.to_owned())
}

pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn optional_file(text: &str) -> Result<Option<PathBuf>, String> {
    if text == "none" { Ok(None) } else { directory(text).map(Some) }
}

pub(super) fn token(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn host_port(text: &str) -> Result<String, String> {
    HostPort::parse(text).map(|address| address.to_string())
}

/// A URL that fits into the members.
pub(super) fn url(text: &str) -> Result<String, String> {
    let url = NodeUrl::parse(text)?.to_string();
    if url.len() > URL_BYTES_MAX {
        return Err(format!("a URL of {} bytes is too long; the limit is {URL_BYTES_MAX}", url.len()));
    }
    Ok(url)
}

/// Names with URLs, in order of name.
pub(super) fn members(text: &str) -> Result<Vec<(String, String)>, String> {
    let member = |part: &str| {
        let (left, right) = part
            .split_once('=')
            .ok_or_else(|| format!("`{part}` has no `=`; write n1=http://host:2380,n2=http://host:2380"))?;
        Ok((name(left.trim())?, url(right.trim())?))
    };
    let mut members: Vec<(String, String)> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(member)
        .collect::<Result<_, String>>()?;
    if members.is_empty() {
        return Err("names no node; write n1=http://host:2380,n2=http://host:2380".to_owned());
    }
    members.sort();
    Ok(members)
}

pub(super) fn millis(text: &str) -> Result<Duration, String> {
    let duration = Duration::from_millis(count(text)?);
    if duration > LONGEST {
        return Err(format!(
            "{text} ms is longer than {} minutes; is the unit right?",
            LONGEST.as_secs() / 60
        ));
    }
    Ok(duration)
}

pub(super) fn count<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match text.replace('_', "").parse::<T>() {
        Ok(number) if number != T::default() => Ok(number),
        Ok(_) => Err("must be at least 1".to_owned()),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') && !text.is_empty() => {
            Err(format!("`{text}` is too large"))
        }
        Err(_) => Err(format!("`{text}` is not a whole number; write one from 1 up")),
    }
}

/// Bytes: `65536`, `64KiB`, `4 MiB`, `1GiB`.
pub(super) fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => {
            return Err(format!("`{text}` is not a size; write bytes or a number with KiB, MiB or GiB"));
        }
    };
    count::<u64>(number)?
        .checked_mul(factor)
        .and_then(|bytes| T::try_from(bytes).ok())
        .ok_or_else(|| format!("`{text}` is too large for this machine"))
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(text) {
        return Err(format!("`{text}` is not a log filter ({error}); {LOG_FILTERS}"));
    }
    // The filter takes a bare word for the name of a module, and a misspelled level would silence everything.
    match text.split(',').map(str::trim).find(|part| !part.contains(['=', '[', ']']) && !is_level(part)) {
        Some(word) => Err(format!("`{word}` is not a level; {LOG_FILTERS}")),
        None => Ok(text.to_owned()),
    }
}

const LOG_FILTERS: &str =
    "write off, error, warn, info, debug or trace, or levels of modules, as in info,kontiki::raft=debug";

fn is_level(text: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"].iter().any(|level| text.eq_ignore_ascii_case(level))
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "plain" => Ok(LogFormat::Plain),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("`{other}` is not a log format; choose auto, plain or json")),
    }
}

pub(super) fn preset(text: &str) -> Result<Timing, String> {
    Timing::preset(text).ok_or_else(|| format!("`{text}` is not a preset; choose lan, fast or wan"))
}
