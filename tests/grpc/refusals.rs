//! Each refusal over the wire: its code, reason, details and outcome.

use super::hostile::{Hostile, refusal};
use super::node::{Node, get, put};
use kontiki::proto::v1;
use kontiki::settings::Limits;
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorInfo, StatusExt as _};
use tower::{Service as _, ServiceExt as _};

pub(super) fn info(status: &Status) -> ErrorInfo {
    status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"))
}

fn fact<'a>(info: &'a ErrorInfo, name: &str) -> &'a str {
    info.metadata.get(name).map(String::as_str).unwrap_or_default()
}

#[tokio::test]
async fn bad_input_names_field_limit_and_actual_value() {
    let node = Node::alone().await;
    let refused = node.kv().put(put(&"k".repeat(9000), "v")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let info = info(&refused);
    assert_eq!((&*info.reason, &*info.domain), ("KEY_TOO_LONG", "kontiki"));
    assert_eq!((fact(&info, "limit"), fact(&info, "actual")), ("8192", "9000"));
    assert_eq!(fact(&info, "outcome"), "NOT_APPLIED");
    let bad = refused.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations[0].field, "key");
    assert_eq!(node.handle.view().revision().get(), 1, "nothing was written");
}

/// What makes room is taken while the disk is nearly full: else nobody could make any.
#[tokio::test]
async fn a_nearly_full_disk_takes_deletes_and_compactions() {
    let node = Node::short_of_room().await;
    let mut kv = node.kv();
    let refused = loop {
        match kv.put(put("k", "v")).await {
            Err(status) if info(&status).reason == "NO_SPACE" => break status,
            // The room was not looked at yet, or nobody leads yet.
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(fact(&info(&refused), "outcome"), "NOT_APPLIED");
    assert!(refused.message().contains("deletes and compactions"), "{}", refused.message());

    let all = || v1::DeleteRequest {
        selector: Some(v1::delete_request::Selector::All(true)),
        ..Default::default()
    };
    kv.delete(all()).await.unwrap();
    let delete = v1::TxnOp { op: Some(v1::txn_op::Op::Delete(all())) };
    kv.txn(v1::TxnRequest { success: vec![delete.clone()], ..Default::default() }).await.unwrap();
    kv.compact(v1::CompactRequest { revision: node.handle.view().revision().get() as i64 }).await.unwrap();

    let put = v1::TxnOp { op: Some(v1::txn_op::Op::Put(put("k", "v"))) };
    let mixed = v1::TxnRequest { success: vec![delete], failure: vec![put], ..Default::default() };
    assert_eq!(info(&kv.txn(mixed).await.unwrap_err()).reason, "NO_SPACE");
}

/// A transaction of very many parts is refused before they are decoded.
#[tokio::test]
async fn a_transaction_of_too_many_parts_is_not_even_decoded() {
    let node = Node::alone().await;
    for parts in [129, 16_385, 700_000] {
        let txn = v1::TxnRequest { success: vec![v1::TxnOp::default(); parts], ..Default::default() };
        let refused = node.kv().txn(txn).await.unwrap_err();
        assert_eq!(info(&refused).reason, "TOO_MANY_OPS", "{refused:?}");
        assert_eq!(fact(&info(&refused), "outcome"), "NOT_APPLIED");
    }
}

/// A little over the limit our own check refuses, far over it the transport
/// does: the client sees the same.
#[tokio::test]
async fn a_request_over_the_limit_is_refused_alike_by_whomever() {
    let node = Node::alone().await;
    for size in [(1536 << 10) + 1, 8 << 20] {
        let refused = node.kv().put(put("k", &"v".repeat(size))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let info = info(&refused);
        assert_eq!((&*info.reason, fact(&info, "limit")), ("REQUEST_TOO_LARGE", "1572864"));
        assert!(fact(&info, "actual").parse::<usize>().unwrap() > size);
        assert_eq!(fact(&info, "outcome"), "NOT_APPLIED");
    }
    assert_eq!(node.put("k", &"v".repeat(1536 << 10 >> 1)).await, 2);
}

/// It would hold up all nodes for as long as it takes, and so would the next one.
#[tokio::test]
async fn a_transaction_that_looks_at_too_much_is_refused() {
    let node = Node::alone().await;
    let op = |op| v1::TxnOp { op: Some(op) };
    let put_op = |key: String| op(v1::txn_op::Op::Put(put(&key, "v")));
    for hundred in 0..11 {
        let success = (0..100).map(|key| put_op(format!("{hundred}/{key}"))).collect();
        node.kv().txn(v1::TxnRequest { success, ..Default::default() }).await.unwrap();
    }
    let nowhere_x = v1::Compare {
        selector: Some(v1::compare::Selector::All(true)),
        target: v1::CompareTarget::Value.into(),
        relation: v1::CompareRelation::NotEqual.into(),
        operand: Some(v1::compare::Operand::Value("x".into())),
    };
    let compares = vec![nowhere_x; 128];
    let request = v1::TxnRequest { compares, success: vec![put_op("a".into())], ..Default::default() };
    let refused = node.kv().txn(request).await.unwrap_err();
    let told = info(&refused);
    assert_eq!((refused.code(), &*told.reason), (Code::InvalidArgument, "TOO_MUCH_WORK"));
    assert_eq!((fact(&told, "limit"), fact(&told, "outcome")), ("131072", "NOT_APPLIED"));

    let all = v1::range_request::Selector::All(true);
    let past = v1::RangeRequest { selector: Some(all), revision: 2, ..Default::default() };
    let success = vec![put_op("a".into()), op(v1::txn_op::Op::Range(past))];
    let refused = node.kv().txn(v1::TxnRequest { success, ..Default::default() }).await.unwrap_err();
    let told = info(&refused);
    assert_eq!((refused.code(), &*told.reason), (Code::InvalidArgument, "PAST_RANGE"));
    assert_eq!((fact(&told, "requested_revision"), fact(&told, "outcome")), ("2", "NOT_APPLIED"));
    assert_eq!(node.put("a", "the next one is served").await, 13);
}

/// The transport words these, and reports them as faults of the server.
#[tokio::test]
async fn bytes_that_are_no_request_are_the_clients_mistake() {
    let node = Node::alone().await;
    for (body, words) in [
        ("\0\0\0\0\u{1}\0", "failed to decode Protobuf message"),
        ("\u{7}\0\0\0\0", "protocol error: received message with invalid compression flag"),
        ("\u{1}\0\0\0\0", "protocol error: received message with compressed-flag"),
        ("\0\0\0\0\u{5}a", "Unexpected EOF"),
        ("", "Missing request message"),
    ] {
        let request = http::Request::post("http://n1/kontiki.v1.KvService/Get")
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(body.to_owned()))
            .unwrap();
        let answer = node.channel.clone().ready().await.unwrap().call(request).await.unwrap();
        let refused = Status::from_header_map(answer.headers()).unwrap();
        assert!(refused.message().contains(words), "{refused:?}");
        let told = info(&refused);
        assert_eq!((refused.code(), &*told.reason), (Code::InvalidArgument, "MALFORMED"));
        assert_eq!(fact(&told, "outcome"), "NOT_APPLIED");
    }
}

#[tokio::test]
async fn an_unknown_method_says_where_to_look() {
    let node = Node::alone().await;
    for path in ["/kontiki.v1.KvService/Frobnicate", "/no.such.Service/Method"] {
        let mut grpc = tonic::client::Grpc::new(node.channel.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<v1::EchoRequest, v1::EchoResponse>::default();
        let path = path.parse().unwrap();
        let refused = grpc.unary(Request::new(v1::EchoRequest::default()), path, codec).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        assert_eq!(info(&refused).reason, "METHOD_UNKNOWN");
    }
}

#[tokio::test]
async fn revisions_that_are_not_there_are_told_with_those_that_are() {
    let node = Node::alone().await;
    for value in ["1", "2", "3"] {
        node.put("k", value).await;
    }
    let future = v1::GetRequest { revision: 99, ..get("k") };
    let refused = node.kv().get(future).await.unwrap_err();
    assert_eq!((refused.code(), &*info(&refused).reason), (Code::OutOfRange, "FUTURE_REVISION"));
    assert_eq!(fact(&info(&refused), "current_revision"), "4");

    node.kv().compact(v1::CompactRequest { revision: 3 }).await.unwrap();
    let past = v1::GetRequest { revision: 2, ..get("k") };
    let refused = node.kv().get(past).await.unwrap_err();
    assert_eq!((refused.code(), &*info(&refused).reason), (Code::OutOfRange, "COMPACTED"));
    assert_eq!(fact(&info(&refused), "compact_revision"), "3");
    for again in [3, 2] {
        node.kv().compact(v1::CompactRequest { revision: again }).await.unwrap();
    }
}

/// The answer must come before the client's own clock gives up, and say how far the store is.
#[tokio::test]
async fn a_deadline_is_answered_in_time_and_with_details() {
    let node = Node::alone().await;
    node.put("k", "v").await;
    let at_least = v1::GetRequest { read_level: v1::ReadLevel::AtLeast.into(), min_revision: 99, ..get("k") };
    // Where both run late, the client's clock may win.
    let mut lost_races = 0;
    let refused = loop {
        let mut request = Request::new(at_least.clone());
        request.set_timeout(Duration::from_millis(400));
        let begin = Instant::now();
        let refused = node.kv().get(request).await.unwrap_err();
        assert!(begin.elapsed() >= Duration::from_millis(300));
        lost_races += 1;
        if refused.code() != Code::Cancelled || lost_races == 10 {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    let info = info(&refused);
    assert_eq!((&*info.reason, fact(&info, "current_revision")), ("DEADLINE", "2"));
}

/// Not a byte of it need be there.
#[tokio::test]
async fn one_request_too_many_is_refused_before_it_is_read() {
    let node = Node::alone_with(Limits { requests_in_flight: 1, ..Limits::default() }).await;
    let slow = v1::GetRequest { read_level: v1::ReadLevel::AtLeast.into(), min_revision: 2, ..get("k") };
    let mut kv = node.kv();
    let waiting = tokio::spawn(async move { kv.get(slow).await });
    let mut client = Hostile::connect(node.address, 65_535).await;
    let refused = async {
        loop {
            let (answer, _unfinished) = client.begin("KvService/Put").await;
            // As long as the other one is not there it is waited for.
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(100), answer).await {
                break answer.unwrap();
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(5), refused).await.expect("it is refused");
    assert_eq!(refusal(&refused), Some("8"));
    waiting.abort();
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once_but_not_a_health_check() {
    let node = Node::alone_with(Limits { requests_in_flight: 1, ..Limits::default() }).await;
    let slow = v1::GetRequest { read_level: v1::ReadLevel::AtLeast.into(), min_revision: 2, ..get("k") };
    let mut kv = node.kv();
    let waiting = tokio::spawn(async move { kv.get(slow).await });
    let refused = loop {
        assert!(!waiting.is_finished(), "the probe below took the only place first");
        tokio::time::sleep(Duration::from_millis(100)).await;
        match node.kv().get(get("k")).await {
            Ok(_) => {}
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.code(), &*info(&refused).reason), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(fact(&info(&refused), "outcome"), "NOT_APPLIED");
    assert!(refused.get_details_retry_info().is_some());

    let mut health = tonic_health::pb::health_client::HealthClient::new(node.channel.clone());
    let service = "liveness".to_owned();
    health.check(tonic_health::pb::HealthCheckRequest { service }).await.unwrap();
    waiting.abort();
    // The place becomes free when the waiting request is gone.
    let again = async {
        while node.kv().put(put("k", "v")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
}
