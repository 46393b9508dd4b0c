//! Single keys and transactions, over the wire.

use super::node::{Node, get, put, text};
use bytes::Bytes;
use kontiki::proto::v1;
use v1::key_value::{KeyForm, ValueForm};
use v1::txn_op::Op;
use v1::txn_op_result::Result as OpResult;

#[tokio::test]
async fn a_value_comes_back_in_the_form_in_which_one_asks() {
    let node = Node::alone().await;
    node.put("k", "v").await;

    let by_text = node.kv().get(get("k")).await.unwrap().into_inner().kv.unwrap();
    assert_eq!(text(&by_text), ("k", "v"));
    let key_form = Some(v1::get_request::KeyForm::KeyBytes("k".into()));
    let in_bytes = v1::GetRequest { key_form, ..Default::default() };
    let by_bytes = node.kv().get(in_bytes).await.unwrap().into_inner().kv.unwrap();
    assert_eq!(by_bytes.key_form, Some(KeyForm::KeyBytes("k".into())));
    assert_eq!(by_bytes.value_form, Some(ValueForm::ValueBytes("v".into())));

    let not_text = Bytes::from_static(&[0xff, 0x00]);
    let request = v1::PutRequest {
        value_form: Some(v1::put_request::ValueForm::ValueBytes(not_text.clone())),
        return_previous: true,
        ..put("k", "")
    };
    let previous = node.kv().put(request).await.unwrap().into_inner().previous.unwrap();
    assert_eq!(previous.value_form, Some(ValueForm::ValueBytes("v".into())), "the put spoke bytes");
    let mixed = node.kv().get(get("k")).await.unwrap().into_inner().kv.unwrap();
    assert_eq!(mixed.key_form, Some(KeyForm::Key("k".into())));
    assert_eq!(mixed.value_form, Some(ValueForm::ValueBytes(not_text)), "it is not text");
}

#[tokio::test]
async fn the_header_says_what_was_served() {
    let node = Node::alone().await;
    assert_eq!(node.put("k", "one").await, 2);
    assert_eq!(node.put("k", "two").await, 3);
    let past = v1::GetRequest { revision: 2, ..get("k") };
    let answer = node.kv().get(past).await.unwrap().into_inner();
    assert_eq!(text(&answer.kv.unwrap()), ("k", "one"));
    let header = answer.header.unwrap();
    assert_eq!((header.cluster_id, header.node_id, &*header.served_by), (7, 1, "n1"));
    assert_eq!(header.revision, 2, "the state that was read");
    assert_eq!(header.role(), v1::NodeRole::Leader);
    assert_eq!(header.read_level(), v1::ReadLevel::Linearizable);
    assert!(header.applied_index >= 3 && header.raft_term >= 1);

    let local = v1::GetRequest { read_level: v1::ReadLevel::Local.into(), ..get("absent") };
    let answer = node.kv().get(local).await.unwrap().into_inner();
    assert_eq!(answer.kv, None, "an absent key is not an error");
    let header = answer.header.unwrap();
    assert_eq!((header.revision, header.read_level()), (3, v1::ReadLevel::Local));
}

#[tokio::test]
async fn a_transaction_that_only_reads_takes_no_place_in_the_log() {
    let node = Node::alone().await;
    node.put("k", "v").await;
    let last = node.handle.status().last;
    let request =
        v1::TxnRequest { success: vec![v1::TxnOp { op: Some(Op::Get(get("k"))) }], ..Default::default() };
    let answer = node.kv().txn(request).await.unwrap().into_inner();
    assert!(answer.succeeded);
    let Some(OpResult::Get(found)) = &answer.results[0].result else { panic!("{answer:?}") };
    assert_eq!(text(found.kv.as_ref().unwrap()), ("k", "v"));
    assert_eq!(answer.header.unwrap().revision, 2);
    assert_eq!(node.handle.status().last, last);
}

#[tokio::test]
async fn a_refused_transaction_changes_nothing() {
    let node = Node::alone().await;
    let twice = vec![
        v1::TxnOp { op: Some(Op::Put(put("other", "v"))) },
        v1::TxnOp { op: Some(Op::Put(put("k", "1"))) },
        v1::TxnOp { op: Some(Op::Put(put("k", "2"))) },
    ];
    let refused = node.kv().txn(v1::TxnRequest { success: twice, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.metadata().get("kontiki-reason").unwrap(), "DUPLICATE_KEY");
    assert_eq!(refused.metadata().get("kontiki-write-outcome").unwrap(), "NOT_APPLIED");
    let answer = node.kv().get(get("other")).await.unwrap().into_inner();
    assert_eq!((answer.kv, answer.header.unwrap().revision), (None, 1));
}

#[tokio::test]
async fn an_echo_is_an_echo_and_a_hash_waits_for_its_revision() {
    let node = Node::alone().await;
    let payload = Bytes::from_static(b"hello");
    let echo = node.maintenance().echo(v1::EchoRequest { payload: payload.clone() }).await.unwrap();
    assert_eq!(echo.into_inner().payload, payload);

    let mut maintenance = node.maintenance();
    let waiting = tokio::spawn(async move { maintenance.hash(v1::HashRequest { revision: 2 }).await });
    node.put("k", "v").await;
    let hash = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!((hash.revision, hash.records, hash.hash.len()), (2, 1, 32));
}

#[tokio::test]
async fn a_snapshot_streams_a_file() {
    let node = Node::alone().await;
    node.put("k", "v").await;
    let mut stream = node.maintenance().snapshot(v1::SnapshotRequest::default()).await.unwrap().into_inner();
    let mut bytes = 0;
    while let Some(piece) = stream.message().await.unwrap() {
        bytes += piece.data.len();
    }
    assert!(bytes > 32, "{bytes}");
    let at_least = v1::SnapshotRequest { read_level: v1::ReadLevel::AtLeast.into() };
    let refused = node.maintenance().snapshot(at_least).await.unwrap_err();
    assert_eq!(refused.metadata().get("kontiki-reason").unwrap(), "FIELD_NOT_ALLOWED");
}
