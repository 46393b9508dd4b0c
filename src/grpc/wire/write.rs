//! Writes, between the wire and the domain. Transactions are in [`txn`](super::txn).

use crate::api::fault::Fault;
use crate::grpc::wire::key_range::{form, key, key_range};
use crate::grpc::wire::read::{at_least, key_value, key_values, signed};
use crate::grpc::wire::text::{Form, Forms, Spoken};
use crate::kv;
use crate::proto::v1;
use crate::reason::Reason;
use crate::settings::Limits;
use crate::types::Revision;
use bytes::Bytes;

/// The encoded size of a request, against the limit.
pub fn check_size(request: &impl prost::Message, limits: &Limits) -> Result<(), Fault> {
    let size = request.encoded_len();
    if size > limits.request_bytes {
        return Err(too_large(limits, size as u64));
    }
    Ok(())
}

/// A request is over the limit.
pub fn too_large(limits: &Limits, actual: u64) -> Fault {
    let limit = limits.request_bytes as u64;
    Fault::new(
        Reason::RequestTooLarge,
        format!("the request is too large: the limit is {limit} bytes, this has {actual}"),
    )
    .not_applied()
    .fact("limit", limit)
    .fact("actual", actual)
}

pub fn put(request: &v1::PutRequest, limits: &Limits) -> Result<kv::Put, Fault> {
    let key = key(request.key_form.as_ref(), limits)?.to_bytes();
    let value = request.value_form.as_ref().map_or_else(Bytes::new, |value| Spoken::from(value).to_bytes());
    Ok(kv::Put { key, value, return_previous: request.return_previous })
}

pub fn delete(request: &v1::DeleteRequest, limits: &Limits) -> Result<kv::Delete, Fault> {
    let range = key_range(request.selector.as_ref(), limits)?;
    Ok(kv::Delete { range, return_previous: request.return_previous })
}

pub fn compact(request: &v1::CompactRequest) -> Result<kv::Compact, Fault> {
    Ok(kv::Compact { revision: Revision(at_least(1, "revision", request.revision)?) })
}

// To the wire. The answer takes the form of the request.

pub fn put_response(
    header: Option<v1::ResponseHeader>,
    request: &v1::PutRequest,
    result: kv::PutResult,
) -> v1::PutResponse {
    let forms = put_forms(request);
    let previous = result.previous.map(|previous| key_value(previous, forms, false));
    v1::PutResponse { header, previous }
}

fn put_forms(request: &v1::PutRequest) -> Forms {
    let key = request.key_form.as_ref().map_or(Form::Text, |key| Spoken::from(key).form());
    let value = request.value_form.as_ref().map_or(key, |value| Spoken::from(value).form());
    Forms { key, value }
}

pub fn delete_response(
    header: Option<v1::ResponseHeader>,
    request: &v1::DeleteRequest,
    result: kv::DeleteResult,
) -> v1::DeleteResponse {
    v1::DeleteResponse {
        header,
        deleted: signed(result.deleted),
        previous: key_values(result.previous, form(request.selector.as_ref()), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::key_value::{KeyForm as AnswerKey, ValueForm as AnswerValue};
    use v1::put_request::{KeyForm, ValueForm};

    fn previous() -> kv::KeyValue {
        kv::KeyValue {
            key: "k".into(),
            value: "old".into(),
            create_revision: Revision(2),
            mod_revision: Revision(2),
            version: 1,
        }
    }

    fn put_request(key: KeyForm, value: Option<ValueForm>) -> v1::PutRequest {
        v1::PutRequest { key_form: Some(key), value_form: value, return_previous: true }
    }

    #[test]
    fn a_put_without_value_puts_an_empty_one() {
        let put = put(&put_request(KeyForm::Key("k".into()), None), &Limits::default()).unwrap();
        assert_eq!((&put.key[..], &put.value[..]), (&b"k"[..], &b""[..]));
    }

    #[test]
    fn each_part_is_answered_in_its_own_form() {
        let request = put_request(KeyForm::Key("k".into()), Some(ValueForm::ValueBytes("new".into())));
        let result = kv::PutResult { previous: Some(previous()) };
        let answer = put_response(None, &request, result).previous.unwrap();
        assert_eq!(answer.key_form, Some(AnswerKey::Key("k".into())));
        assert_eq!(answer.value_form, Some(AnswerValue::ValueBytes("old".into())));
    }

    #[test]
    fn a_put_needs_a_key() {
        let fault = put(&v1::PutRequest::default(), &Limits::default()).unwrap_err();
        assert_eq!(fault.reason(), Reason::KeyMissing);
    }

    #[test]
    fn the_size_is_told_with_its_limit() {
        let limits = Limits { request_bytes: 64, ..Limits::default() };
        let fits = put_request(KeyForm::Key("k".into()), Some(ValueForm::ValueBytes(vec![0; 57].into())));
        assert_eq!(check_size(&fits, &limits), Ok(()));
        let over = put_request(KeyForm::Key("k".into()), Some(ValueForm::ValueBytes(vec![0; 58].into())));
        let fault = check_size(&over, &limits).unwrap_err();
        assert_eq!(fault.reason(), Reason::RequestTooLarge);
        assert_eq!((fault.get("limit"), fault.get("actual")), (Some("64"), Some("65")));
    }

    #[test]
    fn deleted_keys_come_back_in_the_form_of_the_selector() {
        let request = v1::DeleteRequest {
            selector: Some(v1::delete_request::Selector::PrefixBytes("k".into())),
            return_previous: true,
        };
        let result = kv::DeleteResult { deleted: 1, previous: vec![previous()] };
        let answer = delete_response(None, &request, result);
        assert_eq!(answer.deleted, 1);
        assert_eq!(answer.previous[0].key_form, Some(AnswerKey::KeyBytes("k".into())));
    }

    #[test]
    fn a_compaction_needs_a_revision() {
        for revision in [0, -1] {
            let fault = compact(&v1::CompactRequest { revision }).unwrap_err();
            assert_eq!(fault.reason(), Reason::NumberTooSmall);
        }
        assert_eq!(compact(&v1::CompactRequest { revision: 5 }).unwrap().revision, Revision(5));
    }
}
