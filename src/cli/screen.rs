//! What a terminal may be shown. It obeys what it is sent: a stored value could set its title, move the cursor over what
//! was written before, or answer in the user's name. So control characters are escaped, wherever they come from.

use crate::cli::text;
use std::borrow::Cow;

/// A value: text as it is, with its lines, unless something in it could steer the terminal.
pub(super) fn value(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(steers) => text.into(),
        _ => text::shown(bytes, false).into(),
    }
}

/// Words, as they are but for what could steer. Sequences that only color stay if `colored`: tables have them, whose
/// cells have none of their own.
pub(super) fn words(words: &str, colored: bool) -> Cow<'_, str> {
    if !words.contains(steers) {
        return words.into();
    }
    if !colored {
        return escaped(words, steers).into();
    }
    let mut harmless = String::with_capacity(words.len() + 16);
    let mut rest = words;
    while let Some(at) = rest.find(ESCAPE) {
        harmless.push_str(&escaped(&rest[..at], steers));
        let width = color_sequence(&rest[at..]);
        harmless.push_str(&rest[at..at + width]);
        rest = &rest[at + width..];
        if let (0, Some(after)) = (width, rest.strip_prefix(ESCAPE)) {
            harmless.push_str(&escaped(&rest[..1], steers));
            rest = after;
        }
    }
    harmless.push_str(&escaped(rest, steers));
    harmless.into()
}

/// JSON with what it leaves unescaped of the control characters (U+007F to U+009F) escaped: it still means the same.
pub(super) fn json(json: String) -> String {
    let is_left = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
    if !json.contains(is_left) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_left(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A cell of a table: on one line, and without any color.
pub(super) fn cell(words: String) -> String {
    let is_escaped = |c: char| c.is_control() || turns_round(c);
    if words.contains(is_escaped) { escaped(&words, is_escaped) } else { words }
}

const ESCAPE: char = '\x1b';

/// Control characters, and those that turn the direction of text round: what follows would be read backwards.
fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || turns_round(c)
}

fn turns_round(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(words: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut all = Vec::with_capacity(words.len() + 16);
    for c in words.chars() {
        if is_escaped(c) {
            text::escape(&mut all, c);
        } else {
            all.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    String::from_utf8(all).expect("only text was added")
}

/// What conceals words, as a parameter of a sequence for colors.
const CONCEALED: &str = "8";

/// The length of the sequence that sets a color at the beginning of `text`, else 0.
fn color_sequence(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\x1b[") else { return 0 };
    let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    let (parameters, rest) = rest.split_at(digits);
    let conceals = parameters.split(';').any(|one| one.trim_start_matches('0') == CONCEALED);
    if rest.starts_with('m') && !conceals { "\x1b[m".len() + digits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEERING: [&[u8]; 6] =
        [b"\x1b]0;owned\x07", b"a\rb", b"\x7f", "\u{9b}2J".as_bytes(), b"\xff", b"\0"];

    #[test]
    fn a_value_is_its_text_unless_that_could_steer() {
        assert_eq!(value("{\"a\":\t1}\n".as_bytes()), "{\"a\":\t1}\n");
        for steering in STEERING {
            let shown = value(steering);
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let text = serde_json::to_string("\u{9b}2J\u{7f}\u{1b}ü").unwrap();
        let shown = json(text.clone());
        assert!(!shown.contains(char::is_control), "{shown}");
        let read = |json: &str| serde_json::from_str::<String>(json).unwrap();
        assert_eq!(read(&shown), read(&text));
    }

    #[test]
    fn words_keep_their_lines_and_only_wanted_colors() {
        assert_eq!(words("a\n\tb", false), "a\n\tb");
        assert_eq!(words("a\x1b[2Jb\u{85}", false), "a\\x1b[2Jb\\xc2\\x85");
        let red = "\x1b[31mdown\x1b[0m";
        assert_eq!(words(red, true), red);
        assert_eq!(words(red, false), "\\x1b[31mdown\\x1b[0m");
        assert_eq!(words("\x1b[31;08mx", true), "\\x1b[31;08mx", "concealed");
        assert_eq!(words("a\u{202e}b", true), "a\\xe2\\x80\\xaeb", "backwards");
        // Only what does nothing but color passes.
        assert_eq!(words("\x1b[1;31mx\x1b[2J\x1b\x1b[m\x1b", true), "\x1b[1;31mx\\x1b[2J\\x1b\x1b[m\\x1b");
    }

    #[test]
    fn a_cell_is_on_one_line_and_has_no_color() {
        assert_eq!(cell("a\tb\n\x1b[31mc\"".to_owned()), "a\\tb\\n\\x1b[31mc\"");
    }
}
