//! A value of a key, or its absence.

use std::fmt;
use std::sync::Arc;

/// Any JSON value; `null` is the absence of the key. Two values are equal if
/// they are the same JSON, regardless of white space and the order of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(Option<Arc<str>>);

impl Value {
    /// The key is not there.
    pub const ABSENT: Self = Self(None);

    /// Whether the key is not there.
    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// As JSON text, fields in order of their names.
    pub fn as_json(&self) -> &str {
        self.0.as_deref().unwrap_or("null")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_json())
    }
}

impl From<serde_json::Value> for Value {
    fn from(mut json: serde_json::Value) -> Self {
        if json.is_null() {
            return Self::ABSENT;
        }
        json.sort_all_objects();
        Self(Some(json.to_string().into()))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self(Some(number.to_string().into()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        serde_json::Value::from(text).into()
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::ABSENT, Into::into)
    }
}
