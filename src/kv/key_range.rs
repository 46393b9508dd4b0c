//! The ways to name keys, all as [`KeyRange`].

use crate::kv::model::KeyRange;
use bytes::Bytes;

impl KeyRange {
    /// One key: `[key, key + 0x00)`, since nothing sorts between the two.
    pub fn key(key: impl AsRef<[u8]>) -> Self {
        // Both ends share one allocation.
        let key = key.as_ref();
        let mut end = Vec::with_capacity(key.len() + 1);
        end.extend_from_slice(key);
        end.push(0);
        let end = Bytes::from(end);
        Self { start: end.slice(..key.len()), end: Some(end) }
    }

    /// All keys that begin with `prefix`; all keys if it is empty.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        // The first key after them: the last byte below 0xff is incremented, the 0xff bytes after it are
        // dropped. If there is no such byte, no key comes after them.
        let end = start.iter().rposition(|&byte| byte != 0xff).map(|last| {
            let mut end = start[..=last].to_vec();
            end[last] += 1;
            Bytes::from(end)
        });
        Self { start, end }
    }

    /// All keys from `start` to below `end`; to the last key if there is no end.
    pub fn span(start: impl Into<Bytes>, end: Option<Bytes>) -> Self {
        Self { start: start.into(), end }
    }

    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// Whether a key is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start[..] <= *key && self.end.as_ref().is_none_or(|end| *key < end[..])
    }

    /// Whether it names one key and can never name another.
    pub fn is_single_key(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.split_last() == Some((&0, &self.start[..])))
    }

    /// Whether no key can be in the range: the end is not after the start.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}
