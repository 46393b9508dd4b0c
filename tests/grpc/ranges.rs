//! Pages and scans, over the wire.

use super::node::{Node, put, text};
use kontiki::api::context::Bounds;
use kontiki::proto::v1;
use kontiki::settings::Limits;
use std::time::Duration;
use v1::txn_op::Op;

async fn with_keys(limits: Limits, count: usize, value: &str) -> Node {
    filled(Node::alone_with(limits).await, count, value).await
}

async fn filled(node: Node, count: usize, value: &str) -> Node {
    let puts: Vec<_> =
        (0..count).map(|n| v1::TxnOp { op: Some(Op::Put(put(&format!("k{n:05}"), value))) }).collect();
    for branch in puts.chunks(128) {
        let request = v1::TxnRequest { success: branch.to_vec(), ..Default::default() };
        node.kv().txn(request).await.unwrap();
    }
    node
}

fn all_keys() -> v1::RangeRequest {
    v1::RangeRequest { selector: Some(v1::range_request::Selector::Prefix("k".into())), ..Default::default() }
}

fn names(kvs: &[v1::KeyValue]) -> Vec<String> {
    kvs.iter().map(|kv| text(kv).0.to_owned()).collect()
}

async fn all_pages(node: &Node, first: v1::RangeRequest) -> Vec<v1::RangeResponse> {
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let request = v1::RangeRequest { page_token: token, ..first.clone() };
        let page = node.kv().range(request).await.unwrap().into_inner();
        token = page.next_page_token.clone();
        assert_eq!(page.more, !token.is_empty());
        pages.push(page);
        if token.is_empty() {
            return pages;
        }
        // What is written between two pages shows in none of them.
        node.put("k00000x", "new").await;
        assert!(pages.len() < 1000, "the pages never end");
    }
}

#[tokio::test]
async fn pages_show_one_state_whatever_is_written_between_them() {
    let node = with_keys(Limits::default(), 25, "v").await;
    let expected: Vec<String> = (0..25).map(|n| format!("k{n:05}")).collect();
    for order in [v1::KeyOrder::Ascending, v1::KeyOrder::Descending] {
        let at = node.handle.view().revision();
        let request =
            v1::RangeRequest { limit: 10, with_count: true, order: order.into(), revision: 2, ..all_keys() };
        let pages = all_pages(&node, request).await;
        assert_eq!(pages.iter().map(|page| page.kvs.len()).collect::<Vec<_>>(), [10, 10, 5]);
        let mut seen: Vec<_> = pages.iter().flat_map(|page| names(&page.kvs)).collect();
        if order == v1::KeyOrder::Descending {
            seen.reverse();
        }
        assert_eq!(seen, expected);
        for page in &pages {
            assert_eq!(page.count, Some(25), "each page counts the whole range");
            assert_eq!(page.header.as_ref().unwrap().revision, 2);
        }
        assert!(node.handle.view().revision() > at, "something was written meanwhile");
    }
}

/// Most generated clients refuse a message above 4 MiB.
#[tokio::test]
async fn a_page_of_large_values_fits_into_a_clients_message() {
    let node = Node::alone().await;
    let value = "v".repeat(1 << 20);
    for n in 0..6 {
        node.put(&format!("k{n}"), &value).await;
    }
    let pages = all_pages(&node, all_keys()).await;
    assert_eq!(pages.iter().map(|page| page.kvs.len()).sum::<usize>(), 6);
    assert!(pages.len() > 1);
}

#[tokio::test]
async fn a_token_serves_its_own_request_only() {
    let node = with_keys(Limits::default(), 5, "v").await;
    let first = v1::RangeRequest { limit: 2, ..all_keys() };
    let token = node.kv().range(first.clone()).await.unwrap().into_inner().next_page_token;
    let others = [
        v1::RangeRequest { selector: Some(v1::range_request::Selector::All(true)), ..first.clone() },
        v1::RangeRequest { order: v1::KeyOrder::Descending.into(), ..first.clone() },
        v1::RangeRequest { revision: 1, ..first },
    ];
    for other in others {
        let refused =
            node.kv().range(v1::RangeRequest { page_token: token.clone(), ..other }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert_eq!(refused.metadata().get("kontiki-reason").unwrap(), "PAGE_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn counts_come_alone_or_with_the_keys() {
    let node = with_keys(Limits::default(), 30, "v").await;
    let alone = v1::RangeRequest { count_only: true, ..all_keys() };
    let answer = node.kv().range(alone).await.unwrap().into_inner();
    assert_eq!((answer.kvs.len(), answer.count, answer.more), (0, Some(30), false));
    let keys = v1::RangeRequest { keys_only: true, limit: 3, ..all_keys() };
    let answer = node.kv().range(keys).await.unwrap().into_inner();
    assert_eq!((answer.kvs.len(), answer.count, answer.more), (3, None, true));
    assert!(answer.kvs.iter().all(|kv| kv.value_form.is_none()));
}

async fn scan(node: &Node, request: v1::ScanRequest) -> Vec<v1::ScanResponse> {
    let mut stream = node.kv().scan(request).await.unwrap().into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.message().await.unwrap() {
        chunks.push(chunk);
        node.put("k00000x", "new").await;
    }
    chunks
}

fn scan_all() -> v1::ScanRequest {
    v1::ScanRequest { selector: Some(v1::scan_request::Selector::Prefix("k".into())), ..Default::default() }
}

#[tokio::test]
async fn a_scan_shows_one_state_in_small_chunks() {
    let limits = Limits { scan_chunk_bytes: 2000, ..Limits::default() };
    let node = with_keys(limits, 100, &"v".repeat(100)).await;
    let chunks = scan(&node, scan_all()).await;
    assert!(chunks.len() > 5, "{} chunks", chunks.len());
    let seen: Vec<_> = chunks.iter().flat_map(|chunk| names(&chunk.kvs)).collect();
    assert_eq!(seen, (0..100).map(|n| format!("k{n:05}")).collect::<Vec<_>>());
    let (end, before) = chunks.split_last().unwrap();
    assert!(end.last && before.iter().all(|chunk| !chunk.last));
    assert!(chunks.iter().all(|chunk| chunk.header.as_ref().unwrap().revision == 2));

    let down = v1::ScanRequest { order: v1::KeyOrder::Descending.into(), limit: 50, ..scan_all() };
    let chunks = scan(&node, down).await;
    let seen: Vec<_> = chunks.iter().flat_map(|chunk| names(&chunk.kvs)).collect();
    assert_eq!((seen.len(), &*seen[0], &*seen[49]), (50, "k00099", "k00050"));
    assert!(chunks.last().unwrap().last);
}

#[tokio::test]
async fn a_scan_of_nothing_is_one_empty_last_chunk() {
    let node = Node::alone().await;
    let chunks = scan(&node, scan_all()).await;
    assert_eq!((chunks.len(), chunks[0].kvs.len(), chunks[0].last), (1, 0, true));
}

#[tokio::test]
async fn a_scan_of_the_past_is_refused_in_the_stream() {
    let node = Node::alone().await;
    let mut stream =
        node.kv().scan(v1::ScanRequest { revision: 99, ..scan_all() }).await.unwrap().into_inner();
    let refused = stream.message().await.unwrap_err();
    assert_eq!(refused.metadata().get("kontiki-reason").unwrap(), "FUTURE_REVISION");
}

#[tokio::test]
async fn a_stopping_node_ends_its_scans() {
    let limits = Limits { scan_chunk_bytes: 100, ..Limits::default() };
    let node = with_keys(limits, 500, &"v".repeat(1000)).await;
    let mut stream = node.kv().scan(scan_all()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    node.stopping.send(true).unwrap();
    let refused = loop {
        match stream.message().await {
            Ok(Some(chunk)) => assert!(!chunk.last, "it was never stopped"),
            Ok(None) => panic!("it broke off as if it were whole"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.metadata().get("kontiki-reason").unwrap(), "STOPPING");
}

/// More than the windows of a connection hold, so that an idle reader holds up the server.
async fn with_much() -> Node {
    let bounds = Bounds { reader_patience: Duration::from_millis(200), ..Bounds::default() };
    let node = Node::alone_within(Limits::default(), bounds).await;
    filled(node, 1_000, &"v".repeat(10_000)).await
}

/// A view of the state is not kept for a client that does not read.
#[tokio::test]
async fn a_scan_that_nobody_reads_is_given_up_and_says_so() {
    let node = with_much().await;
    let mut stream = node.kv().scan(scan_all()).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = loop {
        match stream.message().await {
            Ok(Some(chunk)) => assert!(!chunk.last, "it was never given up"),
            Ok(None) => panic!("it broke off as if it were whole"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("kontiki-reason").unwrap(), "SLOW_READER");
}

async fn reason_of_the_end(mut snapshot: tonic::Streaming<v1::SnapshotResponse>) -> String {
    loop {
        match snapshot.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it broke off as if it were whole"),
            Err(refused) => {
                return refused.metadata().get("kontiki-reason").unwrap().to_str().unwrap().to_owned();
            }
        }
    }
}

/// Only two snapshots are made at a time: those that nobody reads are cut off.
#[tokio::test]
async fn snapshots_that_nobody_reads_make_room_for_others() {
    let node = with_much().await;
    let snapshot = || async { node.maintenance().snapshot(v1::SnapshotRequest::default()).await };
    let first = snapshot().await.unwrap().into_inner();
    let _second = snapshot().await.unwrap().into_inner();
    let refused = snapshot().await.unwrap_err();
    assert_eq!(refused.metadata().get("kontiki-reason").unwrap(), "OVERLOADED");

    tokio::time::sleep(Duration::from_secs(1)).await;
    let third = snapshot().await.unwrap().into_inner();
    assert_eq!(reason_of_the_end(first).await, "SLOW_READER");
    node.stopping.send(true).unwrap();
    assert_eq!(reason_of_the_end(third).await, "STOPPING");
}
