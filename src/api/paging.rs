//! Long answers in bounded pieces: pages of a range, chunks of a scan.

use crate::api::page_token::PageToken;
use crate::api::read_level::ReadLevel;
use crate::kv::{self, KeyRange, KeyValue};
use crate::machine::View;
use crate::settings::Limits;
use crate::types::Revision;

/// A request for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRead {
    /// The whole range as requested; `read` has the rest of it.
    pub whole: KeyRange,
    pub read: kv::Range,
    /// Whether to count the whole range with a separate read, since `read` covers only the rest of it.
    pub count_apart: bool,
    pub level: ReadLevel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub found: kv::RangeResult,
    /// Where the next page begins; empty after the last.
    pub next_page_token: String,
    /// The revision that is shown.
    pub revision: Revision,
}

/// A request for a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRead {
    /// The range; `limit` applies to the whole scan.
    pub read: kv::Range,
    pub level: ReadLevel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanChunk {
    pub kvs: Vec<KeyValue>,
    pub last: bool,
}

/// The most bytes that the message of a key-value adds to key and value.
const OVERHEAD_BYTES: u64 = 48;

/// A page with up to this many keys, or a transaction of so many operations and compares, is read on the thread
/// that serves the request.
const LIGHT_KEYS: u64 = 64;

/// Whether a page looks so small that another thread would cost more than the read.
pub fn is_light(page: &PageRead) -> bool {
    let counts = page.count_apart || page.read.with_count || page.read.count_only;
    page.whole.is_single_key() || (!counts && page.read.limit.is_some_and(|limit| limit <= LIGHT_KEYS))
}

/// Whether a transaction seems to read so little that it needs no other thread.
pub fn is_light_txn(txn: &kv::Txn) -> bool {
    txn.size() <= LIGHT_KEYS && reads_single_keys(txn)
}

fn reads_single_keys(txn: &kv::Txn) -> bool {
    let single = |op: &kv::Op| match op {
        kv::Op::Range(range) => range.range.is_single_key(),
        kv::Op::Put(_) | kv::Op::Delete(_) => true,
        kv::Op::Txn(nested) => reads_single_keys(nested),
    };
    txn.compares.iter().all(|compare| compare.range.is_single_key()) && txn.ops().all(single)
}

/// Reads a page. An earlier revision is pinned while it is read, but not between two pages.
pub fn page(
    view: &View,
    caller: &dyn kv::Caller,
    page: &PageRead,
    limits: &Limits,
) -> Result<Page, kv::ReadError> {
    let PageRead { whole, mut read, count_apart, .. } = page.clone();
    let earlier = read.revision.map(|revision| view.at(revision)).transpose()?;
    let view = earlier.as_ref().unwrap_or(view);
    let revision = *read.revision.get_or_insert(view.revision());
    let mut found = view.range_for(caller, &read)?;
    found.more |= cut_to_fit(&mut found.kvs, bytes_for_keys(limits));
    if count_apart {
        let count = kv::Range {
            range: whole.clone(),
            count_only: true,
            limit: None,
            max_bytes: None,
            ..read.clone()
        };
        found.count = view.range_for(caller, &count)?.count;
    }
    let next_page_token = match found.kvs.last() {
        Some(last) if found.more => {
            PageToken::behind(&last.key, read.order, revision).encode(&whole, read.order)
        }
        _ => String::new(),
    };
    Ok(Page { found, next_page_token, revision })
}

/// The bytes of a page that header and token leave for keys: most clients refuse a message above 4 MiB, which
/// is also the default limit of a page.
pub(crate) fn bytes_for_keys(limits: &Limits) -> u64 {
    limits.page_bytes - (limits.page_bytes / 8).min(2 * limits.key_bytes as u64 + 1024)
}

/// Drops keys at the end until the message fits into `bytes`, but keeps at least one.
pub(crate) fn cut_to_fit(kvs: &mut Vec<KeyValue>, bytes: u64) -> bool {
    let mut size = 0;
    let fits = kvs.iter().take_while(|kv| {
        size += (kv.key.len() + kv.value.len()) as u64 + OVERHEAD_BYTES;
        size <= bytes
    });
    let fits = fits.count().max(1);
    let cut = fits < kvs.len();
    kvs.truncate(fits);
    cut
}

/// A scan under way. It pins its revision: no compaction removes the rest of it.
#[derive(Debug)]
pub struct Cursor {
    view: View,
    rest: kv::Range,
    left: Option<u64>,
    chunk_keys: u64,
}

impl Cursor {
    /// A scan at its beginning. All chunks come from `view` at one revision.
    pub fn new(scan: ScanRead, view: &View, limits: &Limits) -> Result<Self, kv::Refusal> {
        let revision = scan.read.revision.unwrap_or_else(|| view.revision());
        let view = view.at(revision)?;
        let left = scan.read.limit;
        let rest = kv::Range { revision: Some(revision), ..scan.read };
        Ok(Self { view, rest, left, chunk_keys: limits.page_keys })
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    /// The revision that is shown.
    pub fn revision(&self) -> Revision {
        self.rest.revision.unwrap_or_default()
    }

    /// The next keys, and whether they are the last.
    pub fn next_chunk(&mut self, caller: &dyn kv::Caller) -> Result<(Vec<KeyValue>, bool), kv::ReadError> {
        self.rest.limit = Some(self.left.map_or(self.chunk_keys, |left| left.min(self.chunk_keys)));
        let found = self.view.range_for(caller, &self.rest)?;
        Ok(self.advance(found))
    }

    fn advance(&mut self, found: kv::RangeResult) -> (Vec<KeyValue>, bool) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(found.kvs.len() as u64);
        }
        let Some(last) = found.kvs.last() else {
            return (found.kvs, true);
        };
        let token = PageToken::behind(&last.key, self.rest.order, self.revision());
        self.rest.range = token.rest(&self.rest.range, self.rest.order);
        (found.kvs, !found.more || self.left == Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::Order;
    use crate::machine::{Machine, MemoryTable};
    use std::sync::Arc;

    fn kv(key: &str, value_bytes: usize) -> KeyValue {
        KeyValue {
            key: key.to_owned().into(),
            value: vec![b'v'; value_bytes].into(),
            create_revision: Revision(2),
            mod_revision: Revision(2),
            version: 1,
        }
    }

    fn all(limit: Option<u64>, order: Order) -> kv::Range {
        kv::Range {
            range: KeyRange::all(),
            revision: Some(Revision(9)),
            limit,
            max_bytes: None,
            order,
            keys_only: false,
            with_count: false,
            count_only: false,
        }
    }

    #[test]
    fn one_key_is_answered_however_large() {
        let mut kvs = vec![kv("a", 5000), kv("b", 5000)];
        assert!(cut_to_fit(&mut kvs, 100));
        assert_eq!(kvs.len(), 1);
        assert!(!cut_to_fit(&mut kvs, 100));
    }

    fn cursor(limit: Option<u64>, order: Order) -> Cursor {
        let machine = Machine::open(Arc::new(MemoryTable::new())).unwrap();
        Cursor { view: machine.view(), rest: all(None, order), left: limit, chunk_keys: 10 }
    }

    fn found(keys: &[&str], more: bool) -> kv::RangeResult {
        kv::RangeResult { kvs: keys.iter().map(|key| kv(key, 1)).collect(), more, count: None }
    }

    #[test]
    fn a_scan_goes_on_behind_the_last_key() {
        let mut up = cursor(None, Order::Ascending);
        assert!(!up.advance(found(&["a", "b"], true)).1);
        assert_eq!(up.rest.range.start, "b\0");
        assert!(up.advance(found(&["c"], false)).1);

        let mut down = cursor(None, Order::Descending);
        assert!(!down.advance(found(&["z", "y"], true)).1);
        assert_eq!(down.rest.range.end.as_deref(), Some(&b"y"[..]));
    }

    #[test]
    fn a_scan_ends_with_its_limit() {
        let mut scan = cursor(Some(3), Order::Ascending);
        assert!(!scan.advance(found(&["a", "b"], true)).1);
        assert_eq!(scan.left, Some(1));
        assert!(scan.advance(found(&["c"], true)).1);
    }

    #[test]
    fn only_short_reads_stay_on_the_network_thread() {
        let page = |read: kv::Range| PageRead {
            whole: KeyRange::all(),
            read,
            count_apart: false,
            level: ReadLevel::Local,
        };
        assert!(is_light(&page(all(Some(10), Order::Ascending))));
        assert!(!is_light(&page(all(None, Order::Ascending))));
        let counted = kv::Range { with_count: true, ..all(Some(10), Order::Ascending) };
        assert!(!is_light(&page(counted)));
    }
}
