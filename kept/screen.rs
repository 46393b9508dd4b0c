//! What a terminal may be shown. It obeys what it is sent: a stored value could set its title, move the cursor over what
//! was written before, or answer in the user's name. So control characters are escaped, wherever they come from.
// Takes the place of text::on_screen (value) and text::json_on_screen (json). Output::line: words(text, self.color()) if
// the output is a terminal; Grid::toned_row: cell() of each; report::say = eprintln of words(_, false), for all errors,
// conflicts, "absent:" and config's warnings. text::escape becomes pub(super).

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

/// A cell of a table: on one line, and without any color.
pub(super) fn cell(words: String) -> String {
    if words.contains(char::is_control) { escaped(&words, char::is_control) } else { words }
}

const ESCAPE: char = '\x1b';

fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
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

/// The length of the sequence that sets a color at the beginning of `text`, else 0.
fn color_sequence(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let digits = parameters.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if parameters[digits..].starts_with('m') { "\x1b[m".len() + digits } else { 0 }
}
