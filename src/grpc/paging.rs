//! Long answers in bounded pieces: pages of a range, chunks of a scan.

use crate::grpc::wire::page_token::PageToken;
use crate::grpc::wire::read::{Page, Scan, signed};
use crate::grpc::wire::txn::range_response;
use crate::kv::{self, KeyValue, View};
use crate::proto::v1;
use crate::settings::Limits;
use crate::types::Revision;

/// The most bytes that a key's message adds to key and value.
const OVERHEAD_BYTES: u64 = 48;

/// A page with up to this many keys is read where it is asked for.
const LIGHT_KEYS: u64 = 64;

/// Whether a page is so small that a thread of its own would cost more than it.
pub fn is_light(page: &Page) -> bool {
    let counts = page.count_apart || page.read.with_count || page.read.count_only;
    page.whole.is_single_key() || (!counts && page.read.limit.is_some_and(|limit| limit <= LIGHT_KEYS))
}

/// Whether a transaction reads so little that it needs no thread of its own.
pub fn is_light_txn(txn: &kv::Txn) -> bool {
    let light = |op: &kv::Op| match op {
        kv::Op::Range(range) => range.range.is_single_key(),
        kv::Op::Put(_) | kv::Op::Delete(_) => true,
        kv::Op::Txn(nested) => is_light_txn(nested),
    };
    txn.compares.iter().all(|compare| compare.range.is_single_key())
        && txn.success.iter().chain(&txn.failure).all(light)
}

/// Reads a page, with the revision that it shows. The header is filled in later.
pub fn page(
    view: &View,
    page: Page,
    limits: &Limits,
) -> Result<(v1::RangeResponse, Revision), kv::ReadError> {
    let Page { whole, mut read, count_apart, form, .. } = page;
    let revision = *read.revision.get_or_insert(view.revision());
    let mut found = view.range(&read)?;
    found.more |= cut_to_fit(&mut found.kvs, bytes_for_keys(limits));
    if count_apart {
        let count = kv::Range {
            range: whole.clone(),
            count_only: true,
            limit: None,
            max_bytes: None,
            ..read.clone()
        };
        found.count = view.range(&count)?.count;
    }
    let token = match found.kvs.last() {
        Some(last) if found.more => {
            PageToken::behind(&last.key, read.order, revision).encode(&whole, read.order)
        }
        _ => String::new(),
    };
    let mut response = range_response(found, form, read.keys_only);
    response.next_page_token = token;
    Ok((response, revision))
}

/// What header and token leave of a page: most clients refuse a message of
/// more than 4 MiB, which is the default limit of a page too.
fn bytes_for_keys(limits: &Limits) -> u64 {
    limits.page_bytes - (limits.page_bytes / 8).min(2 * limits.key_bytes as u64 + 1024)
}

/// Drops keys at the end until the message keeps to `bytes`; one key stays in any case.
fn cut_to_fit(kvs: &mut Vec<KeyValue>, bytes: u64) -> bool {
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

/// A scan on its way.
#[derive(Debug)]
pub struct Cursor {
    rest: kv::Range,
    left: Option<u64>,
    chunk_keys: u64,
}

impl Cursor {
    /// At the beginning. All chunks come from `view` at one revision.
    pub fn new(scan: Scan, view: &View, limits: &Limits) -> Self {
        let revision = scan.read.revision.unwrap_or_else(|| view.revision());
        let left = scan.read.limit;
        let rest = kv::Range { revision: Some(revision), ..scan.read };
        Self { rest, left, chunk_keys: limits.page_keys }
    }

    /// The revision that is shown.
    pub fn revision(&self) -> Revision {
        self.rest.revision.unwrap_or_default()
    }

    /// The next keys, and whether they are the last.
    pub fn next_chunk(&mut self, view: &View) -> Result<(Vec<KeyValue>, bool), kv::ReadError> {
        self.rest.limit = Some(self.left.map_or(self.chunk_keys, |left| left.min(self.chunk_keys)));
        let found = view.range(&self.rest)?;
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

/// The answer to a get. The header is filled in later.
pub fn get_response(found: kv::RangeResult, form: crate::grpc::wire::text::Form) -> v1::GetResponse {
    let kv = crate::grpc::wire::read::key_values(found.kvs, form, false).into_iter().next();
    v1::GetResponse { header: None, kv }
}

/// The hash of a state, as it is shown.
pub fn hash_response(hash: &kv::StateHash) -> v1::HashResponse {
    v1::HashResponse {
        header: None,
        revision: signed(hash.revision.get()),
        compact_revision: signed(hash.compact_revision.get()),
        hash: format!("{:032x}", hash.hash),
        records: hash.records,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::wire::read;
    use crate::kv::{KeyRange, Order};
    use prost::Message as _;

    fn kv(key: &str, value_bytes: usize) -> KeyValue {
        KeyValue {
            key: key.to_owned().into(),
            value: vec![b'v'; value_bytes].into(),
            create_revision: Revision(u64::MAX >> 1),
            mod_revision: Revision(u64::MAX >> 1),
            version: u64::MAX >> 1,
        }
    }

    #[test]
    fn a_page_fits_into_the_message_that_every_client_accepts() {
        let limits = Limits::default();
        for size in [0, 100, 1000, 1 << 20] {
            let mut kvs: Vec<_> =
                (0..100_000.min((6 << 20) / (size + 1))).map(|n| kv(&n.to_string(), size)).collect();
            assert!(cut_to_fit(&mut kvs, bytes_for_keys(&limits)));
            let found = kv::RangeResult { kvs, more: true, count: Some(u64::MAX) };
            let mut response = range_response(found, Default::default(), false);
            response.next_page_token = PageToken::behind(&[0; 8192], Order::Ascending, Revision(1))
                .encode(&KeyRange::all(), Order::Ascending);
            assert!(response.encoded_len() + 256 <= 4 << 20, "{}", response.encoded_len());
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
        let request = v1::ScanRequest {
            selector: Some(v1::scan_request::Selector::All(true)),
            revision: 9,
            ..Default::default()
        };
        let scan = read::scan(&request, &Limits::default()).unwrap();
        Cursor { rest: kv::Range { order, ..scan.read }, left: limit, chunk_keys: 10 }
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
        let page = |request: v1::RangeRequest| read::page(&request, &Limits::default()).unwrap();
        let all = || Some(v1::range_request::Selector::All(true));
        assert!(is_light(&page(v1::RangeRequest { selector: all(), limit: 10, ..Default::default() })));
        assert!(!is_light(&page(v1::RangeRequest { selector: all(), ..Default::default() })));
        let counted = v1::RangeRequest { selector: all(), limit: 10, with_count: true, ..Default::default() };
        assert!(!is_light(&page(counted)));
    }
}
