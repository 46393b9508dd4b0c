//! The many ways to name keys, and the one canonical range behind them.
//!
//! Everything is checked and executed on the [`KeyRange`], never on the form that the client used: access
//! rules get circumvented where the check sees another form than the execution does.

use crate::api::fault::Fault;
use crate::grpc::wire::text::{Form, Spoken};
use crate::kv::KeyRange;
use crate::proto::v1;
use crate::reason::Reason;
use crate::settings::Limits;
use bytes::Bytes;

/// A selector of any request.
#[derive(Clone, Copy, Debug)]
pub enum Selector<'a> {
    Key(Spoken<'a>),
    Prefix(Spoken<'a>),
    Span(&'a v1::KeySpan),
    /// All keys, if true.
    All(bool),
}

/// The generated oneofs are distinct types with the same variants.
macro_rules! selectors {
    ($($module:ident)+) => {$(
        impl<'a> From<&'a v1::$module::Selector> for Selector<'a> {
            fn from(selector: &'a v1::$module::Selector) -> Self {
                use v1::$module::Selector as Wire;
                match selector {
                    Wire::Key(key) => Self::Key(Spoken::Text(key)),
                    Wire::KeyBytes(key) => Self::Key(Spoken::Bytes(key)),
                    Wire::Prefix(prefix) => Self::Prefix(Spoken::Text(prefix)),
                    Wire::PrefixBytes(prefix) => Self::Prefix(Spoken::Bytes(prefix)),
                    Wire::Span(span) => Self::Span(span),
                    Wire::All(all) => Self::All(*all),
                }
            }
        }
    )+};
}

selectors! { delete_request range_request scan_request compare }

impl Selector<'_> {
    /// The form in which it names keys. `all` names none; text is the more readable form.
    fn form(self) -> Form {
        match self {
            Self::Key(key) => key.form(),
            Self::Prefix(prefix) => prefix.form(),
            Self::Span(span) => {
                let start = span.start_form.as_ref().map(|start| Spoken::from(start).form());
                let end = span.end_form.as_ref().map(|end| Spoken::from(end).form());
                if start == Some(Form::Bytes) || end == Some(Form::Bytes) { Form::Bytes } else { Form::Text }
            }
            Self::All(_) => Form::Text,
        }
    }
}

/// The form that a selector uses.
pub fn form<'a, S>(selector: Option<&'a S>) -> Form
where
    Selector<'a>: From<&'a S>,
{
    selector.map_or(Form::Text, |selector| Selector::from(selector).form())
}

/// The canonical range.
pub fn key_range<'a, S>(selector: Option<&'a S>, limits: &Limits) -> Result<KeyRange, Fault>
where
    Selector<'a>: From<&'a S>,
{
    let Some(selector) = selector.map(Selector::from) else {
        return Err(Fault::field(
            Reason::SelectorMissing,
            "selector",
            "select the keys: set one of key, prefix, span, all (or a bytes form)",
        ));
    };
    match selector {
        Selector::Key(key) => Ok(KeyRange::key(checked_key(key, limits)?)),
        Selector::Prefix(prefix) => prefix_range(prefix, limits),
        Selector::Span(span) => span_range(span, limits).map_err(|fault| fault.inside("span")),
        Selector::All(true) => Ok(KeyRange::all()),
        Selector::All(false) => Err(Fault::field(
            Reason::AllFalse,
            "all",
            "`all: false` names no keys; set it to true or use another form",
        )),
    }
}

/// The key of a request that must have one.
pub fn key<'a, K>(key: Option<&'a K>, limits: &Limits) -> Result<Spoken<'a>, Fault>
where
    Spoken<'a>: From<&'a K>,
{
    match key {
        Some(key) => checked_key(Spoken::from(key), limits),
        None => Err(Fault::field(Reason::KeyMissing, "key", "a key is required")),
    }
}

fn checked_key<'a>(key: Spoken<'a>, limits: &Limits) -> Result<Spoken<'a>, Fault> {
    let length = key.as_ref().len();
    if length == 0 {
        return Err(Fault::field(Reason::KeyEmpty, "key", "a key must have at least one byte"));
    }
    within(length, limits.key_bytes, "key", "the key is too long (bytes)")?;
    Ok(key)
}

fn prefix_range(prefix: Spoken<'_>, limits: &Limits) -> Result<KeyRange, Fault> {
    let length = prefix.as_ref().len();
    if length == 0 {
        return Err(Fault::field(
            Reason::PrefixEmpty,
            "prefix",
            "an empty prefix would mean every key; say so with `all: true`",
        ));
    }
    within(length, limits.key_bytes, "prefix", "the prefix is too long (bytes)")?;
    Ok(KeyRange::prefix(prefix.to_bytes()))
}

fn span_range(span: &v1::KeySpan, limits: &Limits) -> Result<KeyRange, Fault> {
    let start = span.start_form.as_ref().map(Spoken::from);
    let end = span.end_form.as_ref().map(Spoken::from);
    // One byte more than a key may have: the position right after the longest key is a valid bound.
    for (bound, name) in [(start, "start"), (end, "end")] {
        let length = bound.map_or(0, |bound| bound.as_ref().len());
        within(length, limits.key_bytes + 1, name, "the bound is too long (bytes)")?;
    }
    let range = KeyRange::span(start.map_or_else(Bytes::new, Spoken::to_bytes), end.map(Spoken::to_bytes));
    if range.is_empty() {
        return Err(Fault::field(
            Reason::RangeInverted,
            "end",
            "the end of a span must be after its start (the end itself is not part of it)",
        ));
    }
    Ok(range)
}

fn within(length: usize, limit: usize, field: &str, what: &str) -> Result<(), Fault> {
    if length > limit {
        return Err(Fault::over(Reason::KeyTooLong, field, what, limit as u64, length as u64));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::key_span::{EndForm, StartForm};
    use v1::range_request::Selector as Wire;

    fn range(selector: Wire) -> Result<KeyRange, Fault> {
        key_range(Some(&selector), &Limits::default())
    }

    fn span(start: &str, end: &str) -> Wire {
        Wire::Span(v1::KeySpan {
            start_form: Some(StartForm::Start(start.into())),
            end_form: Some(EndForm::End(end.into())),
        })
    }

    #[test]
    fn every_form_becomes_one_range() {
        assert_eq!(range(Wire::Key("a".into())).unwrap(), KeyRange::key("a"));
        assert_eq!(range(Wire::KeyBytes("a".into())).unwrap(), KeyRange::key("a"));
        let by_prefix = range(Wire::Prefix("a".into())).unwrap();
        assert_eq!(by_prefix, range(span("a", "b")).unwrap());
        let open = range(Wire::Span(v1::KeySpan::default())).unwrap();
        assert_eq!(open, range(Wire::All(true)).unwrap());
    }

    #[test]
    fn the_form_is_that_of_the_keys_that_are_named() {
        assert_eq!(form(Some(&Wire::Prefix("a".into()))), Form::Text);
        assert_eq!(form(Some(&Wire::PrefixBytes("a".into()))), Form::Bytes);
        assert_eq!(form(Some(&span("a", "b"))), Form::Text);
        let half = v1::KeySpan { start_form: None, end_form: Some(EndForm::EndBytes("b".into())) };
        assert_eq!(form(Some(&Wire::Span(half))), Form::Bytes);
        assert_eq!(form(Some(&Wire::All(true))), Form::Text);
    }

    #[test]
    fn each_mistake_has_its_own_reason() {
        let mistakes = [
            (Wire::Key(String::new()), Reason::KeyEmpty),
            (Wire::KeyBytes(Bytes::new()), Reason::KeyEmpty),
            (Wire::Prefix(String::new()), Reason::PrefixEmpty),
            (Wire::All(false), Reason::AllFalse),
            (span("b", "a"), Reason::RangeInverted),
            (span("a", "a"), Reason::RangeInverted),
            (Wire::Key("k".repeat(8193)), Reason::KeyTooLong),
            (Wire::PrefixBytes(vec![0; 8193].into()), Reason::KeyTooLong),
            (span("a", &"k".repeat(8194)), Reason::KeyTooLong),
        ];
        for (selector, reason) in mistakes {
            assert_eq!(range(selector).unwrap_err().reason(), reason);
        }
        let none: Option<&Wire> = None;
        assert_eq!(key_range(none, &Limits::default()).unwrap_err().reason(), Reason::SelectorMissing);
    }

    #[test]
    fn the_longest_key_passes_and_one_byte_more_is_told_with_both_numbers() {
        assert!(range(Wire::Key("k".repeat(8192))).is_ok());
        let fault = range(Wire::Key("k".repeat(8193))).unwrap_err();
        assert_eq!((fault.get("limit"), fault.get("actual")), (Some("8192"), Some("8193")));
        assert_eq!(fault.at(), Some("key"));
    }

    #[test]
    fn a_field_inside_a_span_is_named_so() {
        assert_eq!(range(span("b", "a")).unwrap_err().at(), Some("span.end"));
    }
}
