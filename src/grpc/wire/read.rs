//! Reads, between the wire and the domain.

use crate::api::fault::Fault;
use crate::api::page_token::PageToken;
use crate::api::paging::{Page, PageRead, ScanChunk, ScanRead};
use crate::api::read_level::ReadLevel;
use crate::grpc::wire::key_range::{form, key, key_range};
use crate::grpc::wire::text::{Form, Forms, Spoken, key_form, value_form};
use crate::kv::{self, KeyRange, Order};
use crate::proto::v1;
use crate::reason::Reason;
use crate::settings::Limits;
use crate::types::Revision;

pub fn get(request: &v1::GetRequest, limits: &Limits) -> Result<(kv::Range, ReadLevel), Fault> {
    let level = level(request.read_level, request.min_revision)?;
    Ok((get_range(request, limits)?, level))
}

/// Checks a get inside a transaction, where freshness is the transaction's.
pub fn get_in_txn(request: &v1::GetRequest, limits: &Limits) -> Result<kv::Range, Fault> {
    no_freshness_in_txn(request.read_level, request.min_revision)?;
    get_range(request, limits)
}

/// The form in which to answer a get.
pub fn get_form(request: &v1::GetRequest) -> Form {
    request.key_form.as_ref().map_or(Form::Text, |key| Spoken::from(key).form())
}

fn get_range(request: &v1::GetRequest, limits: &Limits) -> Result<kv::Range, Fault> {
    let key = key(request.key_form.as_ref(), limits)?;
    let revision = revision("revision", request.revision)?;
    Ok(whole_range(KeyRange::key(key), revision))
}

pub fn page(request: &v1::RangeRequest, limits: &Limits) -> Result<PageRead, Fault> {
    let level = level(request.read_level, request.min_revision)?;
    let mut read = page_range(request, limits)?;
    let whole = read.range.clone();
    let mut count_apart = false;
    if !request.page_token.is_empty() {
        let token = PageToken::decode(&request.page_token, &whole, read.order)?;
        if read.revision.is_some_and(|revision| revision != token.revision) {
            return Err(Fault::field(
                Reason::PageTokenInvalid,
                "revision",
                format!(
                    "the page token pins revision {}; leave `revision` unset or repeat it",
                    token.revision
                ),
            ));
        }
        read.revision = Some(token.revision);
        if !read.count_only {
            read.range = token.rest(&whole, read.order);
            count_apart = std::mem::take(&mut read.with_count);
        }
    }
    Ok(PageRead { whole, read, count_apart, level })
}

/// Checks a range inside a transaction, where freshness is the transaction's and there is only one page.
pub fn range_in_txn(request: &v1::RangeRequest, limits: &Limits) -> Result<kv::Range, Fault> {
    no_freshness_in_txn(request.read_level, request.min_revision)?;
    if !request.page_token.is_empty() {
        return Err(not_in_txn("page_token"));
    }
    page_range(request, limits)
}

fn page_range(request: &v1::RangeRequest, limits: &Limits) -> Result<kv::Range, Fault> {
    let range = key_range(request.selector.as_ref(), limits)?;
    let limit = at_least_zero("limit", request.limit)?;
    if limit > limits.page_keys {
        return Err(Fault::over(
            Reason::PageTooLarge,
            "limit",
            "a page cannot have this many keys; read on with `next_page_token`",
            limits.page_keys,
            limit,
        ));
    }
    Ok(kv::Range {
        limit: Some(if limit == 0 { limits.page_keys } else { limit }),
        max_bytes: Some(limits.page_bytes),
        order: order(request.order)?,
        keys_only: request.keys_only,
        with_count: request.with_count,
        count_only: request.count_only,
        ..whole_range(range, revision("revision", request.revision)?)
    })
}

pub fn scan(request: &v1::ScanRequest, limits: &Limits) -> Result<ScanRead, Fault> {
    let level = level(request.read_level, request.min_revision)?;
    let range = key_range(request.selector.as_ref(), limits)?;
    let limit = at_least_zero("limit", request.limit)?;
    let read = kv::Range {
        limit: (limit > 0).then_some(limit),
        max_bytes: Some(limits.scan_chunk_bytes),
        order: order(request.order)?,
        keys_only: request.keys_only,
        ..whole_range(range, revision("revision", request.revision)?)
    };
    Ok(ScanRead { read, level })
}

/// A read of the whole range.
fn whole_range(range: KeyRange, revision: Option<Revision>) -> kv::Range {
    kv::Range {
        range,
        revision,
        limit: None,
        max_bytes: None,
        order: Order::Ascending,
        keys_only: false,
        with_count: false,
        count_only: false,
    }
}

/// Checks how fresh a read must be.
pub fn level(read_level: i32, min_revision: i64) -> Result<ReadLevel, Fault> {
    let min_revision = at_least_zero("min_revision", min_revision)?;
    let level = match v1::ReadLevel::try_from(read_level) {
        // No revision is that old: the client forgot to set it, and a read of any age would be a surprise.
        Ok(v1::ReadLevel::AtLeast) if min_revision == 0 => {
            return Err(Fault::field(
                Reason::NumberTooSmall,
                "min_revision",
                "READ_LEVEL_AT_LEAST needs the revision to wait for, at least 1; READ_LEVEL_LOCAL reads without",
            ));
        }
        Ok(v1::ReadLevel::AtLeast) => return Ok(ReadLevel::AtLeast(Revision(min_revision))),
        Ok(v1::ReadLevel::Unspecified | v1::ReadLevel::Linearizable) => ReadLevel::Linearizable,
        Ok(v1::ReadLevel::Local) => ReadLevel::Local,
        Err(_) => return Err(unknown_enum("read_level", read_level)),
    };
    if min_revision != 0 {
        return Err(Fault::field(
            Reason::FieldNotAllowed,
            "min_revision",
            "`min_revision` belongs to READ_LEVEL_AT_LEAST; unset it or set that level",
        ));
    }
    Ok(level)
}

fn no_freshness_in_txn(read_level: i32, min_revision: i64) -> Result<(), Fault> {
    if read_level != 0 {
        return Err(not_in_txn("read_level"));
    }
    if min_revision != 0 {
        return Err(not_in_txn("min_revision"));
    }
    Ok(())
}

fn not_in_txn(field: &str) -> Fault {
    Fault::field(Reason::FieldNotAllowed, field, "a read inside a transaction must leave this unset")
}

fn order(order: i32) -> Result<Order, Fault> {
    match v1::KeyOrder::try_from(order) {
        Ok(v1::KeyOrder::Unspecified | v1::KeyOrder::Ascending) => Ok(Order::Ascending),
        Ok(v1::KeyOrder::Descending) => Ok(Order::Descending),
        Err(_) => Err(unknown_enum("order", order)),
    }
}

/// An enum has a value that this version does not know.
pub fn unknown_enum(field: &str, value: i32) -> Fault {
    Fault::field(
        Reason::EnumUnknown,
        field,
        format!("{value} is not a value of this enum that this server knows"),
    )
    .fact("actual", value)
}

/// A revision to read at; 0 means the newest.
pub fn revision(field: &str, value: i64) -> Result<Option<Revision>, Fault> {
    let value = at_least_zero(field, value)?;
    Ok((value > 0).then_some(Revision(value)))
}

/// A number that may not be negative.
pub fn at_least_zero(field: &str, value: i64) -> Result<u64, Fault> {
    at_least(0, field, value)
}

/// A number with a minimum.
pub fn at_least(least: u64, field: &str, value: i64) -> Result<u64, Fault> {
    match u64::try_from(value) {
        Ok(value) if value >= least => Ok(value),
        _ => Err(Fault::field(
            Reason::NumberTooSmall,
            field,
            format!("must be at least {least}, but is {value}"),
        )
        .fact("limit", least)
        .fact("actual", value)),
    }
}

// To the wire.

pub fn get_response(
    header: Option<v1::ResponseHeader>,
    request: &v1::GetRequest,
    found: Option<kv::KeyValue>,
) -> v1::GetResponse {
    let kv = found.map(|kv| key_value(kv, Forms::both(get_form(request)), false));
    v1::GetResponse { header, kv }
}

pub fn page_response(
    header: Option<v1::ResponseHeader>,
    request: &v1::RangeRequest,
    page: Page,
) -> v1::RangeResponse {
    let Page { found, next_page_token, .. } = page;
    v1::RangeResponse { next_page_token, ..range_response(header, request, found) }
}

pub fn range_response(
    header: Option<v1::ResponseHeader>,
    request: &v1::RangeRequest,
    found: kv::RangeResult,
) -> v1::RangeResponse {
    v1::RangeResponse {
        header,
        kvs: key_values(found.kvs, form(request.selector.as_ref()), request.keys_only),
        more: found.more,
        next_page_token: String::new(),
        count: found.count.map(signed),
    }
}

pub fn scan_response(
    header: Option<v1::ResponseHeader>,
    request: &v1::ScanRequest,
    chunk: ScanChunk,
) -> v1::ScanResponse {
    let kvs = key_values(chunk.kvs, form(request.selector.as_ref()), request.keys_only);
    v1::ScanResponse { header, kvs, last: chunk.last }
}

/// One version of a key. The value is left out where only keys were asked for.
pub fn key_value(kv: kv::KeyValue, forms: Forms, keys_only: bool) -> v1::KeyValue {
    v1::KeyValue {
        key_form: Some(key_form(kv.key, forms.key)),
        value_form: (!keys_only).then(|| value_form(kv.value, forms.value)),
        create_revision: signed(kv.create_revision.get()),
        mod_revision: signed(kv.mod_revision.get()),
        version: signed(kv.version),
    }
}

pub fn key_values(kvs: Vec<kv::KeyValue>, form: Form, keys_only: bool) -> Vec<v1::KeyValue> {
    kvs.into_iter().map(|kv| key_value(kv, Forms::both(form), keys_only)).collect()
}

/// A number that is signed on the wire. No store lives long enough for the difference to matter.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::paging::{bytes_for_keys, cut_to_fit};
    use prost::Message as _;
    use v1::range_request::Selector;

    fn range_request() -> v1::RangeRequest {
        v1::RangeRequest { selector: Some(Selector::Prefix("user/".into())), ..Default::default() }
    }

    fn refused(request: v1::RangeRequest) -> Fault {
        page(&request, &Limits::default()).unwrap_err()
    }

    #[test]
    fn a_page_has_the_servers_limits_unless_it_asks_for_less() {
        let limits = Limits::default();
        let plain = page(&range_request(), &limits).unwrap();
        assert_eq!(plain.read.limit, Some(10_000));
        assert_eq!(plain.read.max_bytes, Some(4 << 20));
        assert_eq!(plain.level, ReadLevel::Linearizable);
        let less = page(&v1::RangeRequest { limit: 7, ..range_request() }, &limits).unwrap();
        assert_eq!(less.read.limit, Some(7));
    }

    #[test]
    fn each_mistake_has_its_own_reason_and_field() {
        let mistakes = [
            (v1::RangeRequest { limit: -1, ..range_request() }, Reason::NumberTooSmall, "limit"),
            (v1::RangeRequest { limit: 10_001, ..range_request() }, Reason::PageTooLarge, "limit"),
            (v1::RangeRequest { revision: -7, ..range_request() }, Reason::NumberTooSmall, "revision"),
            (v1::RangeRequest { order: 9, ..range_request() }, Reason::EnumUnknown, "order"),
            (v1::RangeRequest { read_level: 77, ..range_request() }, Reason::EnumUnknown, "read_level"),
            (
                v1::RangeRequest { min_revision: 3, ..range_request() },
                Reason::FieldNotAllowed,
                "min_revision",
            ),
            (
                v1::RangeRequest { page_token: "?".into(), ..range_request() },
                Reason::PageTokenInvalid,
                "page_token",
            ),
            (v1::RangeRequest::default(), Reason::SelectorMissing, "selector"),
        ];
        for (request, reason, field) in mistakes {
            let fault = refused(request);
            assert_eq!((fault.reason(), fault.at()), (reason, Some(field)));
        }
        let fault = refused(v1::RangeRequest { limit: 10_001, ..range_request() });
        assert_eq!((fault.get("limit"), fault.get("actual")), (Some("10000"), Some("10001")));
    }

    #[test]
    fn the_next_page_reads_the_rest_at_the_same_revision_and_counts_the_whole() {
        let limits = Limits::default();
        let whole = KeyRange::prefix("user/");
        let token =
            PageToken::behind(b"user/m", Order::Ascending, Revision(42)).encode(&whole, Order::Ascending);
        let request = v1::RangeRequest { page_token: token, with_count: true, ..range_request() };
        let next = page(&request, &limits).unwrap();
        assert_eq!(next.read.revision, Some(Revision(42)));
        assert_eq!(next.read.range.start, "user/m\0");
        assert_eq!(next.whole, whole);
        assert!(next.count_apart && !next.read.with_count);

        assert!(page(&v1::RangeRequest { revision: 42, ..request.clone() }, &limits).is_ok());
        let fault = refused(v1::RangeRequest { revision: 41, ..request });
        assert_eq!(fault.reason(), Reason::PageTokenInvalid);
    }

    #[test]
    fn a_page_fits_into_the_message_that_every_client_accepts() {
        let kv = |key: usize, value_bytes: usize| kv::KeyValue {
            key: key.to_string().into(),
            value: vec![b'v'; value_bytes].into(),
            create_revision: Revision(u64::MAX >> 1),
            mod_revision: Revision(u64::MAX >> 1),
            version: u64::MAX >> 1,
        };
        for size in [0, 100, 1000, 1 << 20] {
            let mut kvs: Vec<_> = (0..100_000.min((6 << 20) / (size + 1))).map(|key| kv(key, size)).collect();
            assert!(cut_to_fit(&mut kvs, bytes_for_keys(&Limits::default())));
            let found = kv::RangeResult { kvs, more: true, count: Some(u64::MAX) };
            let next_page_token = PageToken::behind(&[0; 8192], Order::Ascending, Revision(1))
                .encode(&KeyRange::all(), Order::Ascending);
            let page = Page { found, next_page_token, revision: Revision(1) };
            let response = page_response(Some(v1::ResponseHeader::default()), &range_request(), page);
            assert!(response.encoded_len() + 256 <= 4 << 20, "{}", response.encoded_len());
        }
    }

    #[test]
    fn at_least_takes_a_revision() {
        assert_eq!(level(3, 9), Ok(ReadLevel::AtLeast(Revision(9))));
        assert_eq!(level(0, 0), Ok(ReadLevel::Linearizable));
        assert_eq!(level(2, 0), Ok(ReadLevel::Local));
        let without = level(3, 0).unwrap_err();
        assert_eq!((without.reason(), without.at()), (Reason::NumberTooSmall, Some("min_revision")));
        assert_eq!(level(3, -9).unwrap_err().reason(), Reason::NumberTooSmall);
    }

    #[test]
    fn keys_only_leaves_the_value_unset_rather_than_empty() {
        let kv = kv::KeyValue {
            key: "k".into(),
            value: bytes::Bytes::new(),
            create_revision: Revision(2),
            mod_revision: Revision(3),
            version: 2,
        };
        assert!(key_value(kv.clone(), Forms::default(), true).value_form.is_none());
        assert!(key_value(kv, Forms::default(), false).value_form.is_some());
    }
}
