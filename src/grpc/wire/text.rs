//! Text and bytes.
//!
//! Keys and values are bytes. Each field that holds one has a text form, which reads well in JSON and
//! grpcurl, and a bytes form. A request in text is answered in text, and in bytes only where a value is not
//! valid UTF-8; a request in bytes is answered in bytes.

use crate::proto::v1;
use bytes::Bytes;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Text where possible.
    #[default]
    Text,
    /// Bytes, always.
    Bytes,
}

/// The forms of the answer to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    pub key: Form,
    pub value: Form,
}

impl Forms {
    /// One form for both: a request without a value gets it in the form of its key.
    pub const fn both(form: Form) -> Self {
        Self { key: form, value: form }
    }
}

/// A key or value in the form that the client used.
#[derive(Clone, Copy, Debug)]
pub enum Spoken<'a> {
    Text(&'a str),
    Bytes(&'a Bytes),
}

impl Spoken<'_> {
    /// Which form it is.
    pub fn form(self) -> Form {
        match self {
            Self::Text(_) => Form::Text,
            Self::Bytes(_) => Form::Bytes,
        }
    }

    /// Its bytes. A bytes form is shared, text is copied.
    pub fn to_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl AsRef<[u8]> for Spoken<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The generated oneofs are distinct types with the same two variants.
macro_rules! spoken {
    ($($module:ident :: $form:ident { $text:ident, $bytes:ident })+) => {$(
        impl<'a> From<&'a v1::$module::$form> for Spoken<'a> {
            fn from(form: &'a v1::$module::$form) -> Self {
                match form {
                    v1::$module::$form::$text(text) => Self::Text(text),
                    v1::$module::$form::$bytes(bytes) => Self::Bytes(bytes),
                }
            }
        }
    )+};
}

spoken! {
    put_request::KeyForm { Key, KeyBytes }
    put_request::ValueForm { Value, ValueBytes }
    get_request::KeyForm { Key, KeyBytes }
    key_span::StartForm { Start, StartBytes }
    key_span::EndForm { End, EndBytes }
}

/// A key, in the form asked for if it can be.
pub fn key_form(key: Bytes, form: Form) -> v1::key_value::KeyForm {
    match text(key, form) {
        Ok(text) => v1::key_value::KeyForm::Key(text),
        Err(bytes) => v1::key_value::KeyForm::KeyBytes(bytes),
    }
}

/// A value, in the form asked for if it can be.
pub fn value_form(value: Bytes, form: Form) -> v1::key_value::ValueForm {
    match text(value, form) {
        Ok(text) => v1::key_value::ValueForm::Value(text),
        Err(bytes) => v1::key_value::ValueForm::ValueBytes(bytes),
    }
}

/// The bytes as text, if text is wanted and they are text.
fn text(bytes: Bytes, form: Form) -> Result<String, Bytes> {
    match form {
        Form::Text => match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(bytes),
        },
        Form::Bytes => Err(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::key_value::{KeyForm, ValueForm};

    #[test]
    fn text_is_answered_with_text() {
        assert_eq!(key_form("grüezi".into(), Form::Text), KeyForm::Key("grüezi".into()));
        assert_eq!(value_form(Bytes::new(), Form::Text), ValueForm::Value(String::new()));
    }

    #[test]
    fn bytes_are_answered_with_bytes_even_if_they_are_text() {
        assert_eq!(key_form("k".into(), Form::Bytes), KeyForm::KeyBytes("k".into()));
        assert_eq!(value_form("v".into(), Form::Bytes), ValueForm::ValueBytes("v".into()));
    }

    #[test]
    fn what_is_not_text_is_answered_as_bytes() {
        let not_text = Bytes::from_static(&[0xff, 0xfe]);
        assert_eq!(value_form(not_text.clone(), Form::Text), ValueForm::ValueBytes(not_text));
    }
}
