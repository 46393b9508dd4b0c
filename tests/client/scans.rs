//! Scans: chunks, limits, and resuming after a break.

use crate::fake::{Fake, header, kv};
use kontiki::client::{Client, Keys, Options, Order, ReadLevel, ScanOptions};
use kontiki::proto::v1 as pb;
use kontiki::types::Revision;
use tonic::Status;

fn chunk(kvs: &[(&'static str, &'static str)], last: bool) -> Result<pb::ScanResponse, Status> {
    Ok(pb::ScanResponse { header: header(), kvs: kvs.iter().map(|(k, v)| kv(k, v)).collect(), last })
}

async fn all(client: &Client, options: ScanOptions) -> Result<Vec<String>, kontiki::client::Error> {
    let mut scan = client.scan(options);
    let mut keys = Vec::new();
    while let Some(kvs) = scan.next().await? {
        keys.extend(kvs.iter().map(|kv| String::from_utf8(kv.key.to_vec()).unwrap()));
    }
    assert_eq!(scan.meta().unwrap().revision, Revision(2));
    Ok(keys)
}

fn client(node: &Fake) -> Client {
    Client::connect(&[&node.url], Options::default()).unwrap()
}

#[tokio::test]
async fn chunks_follow_one_another_to_the_last() {
    let node = Fake::start(vec![]).await;
    node.next_scan(vec![
        chunk(&[("a", "1"), ("b", "2")], false),
        chunk(&[("c", "3")], false),
        chunk(&[], true),
    ]);
    let keys = all(&client(&node), ScanOptions::new(Keys::All)).await.unwrap();
    assert_eq!(keys, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_scan_that_broke_goes_on_behind_its_last_key_at_the_same_revision() {
    let node = Fake::start(vec![]).await;
    node.next_scan(vec![chunk(&[("pa", "1"), ("pb", "2")], false), Err(Status::unavailable("stopping"))]);
    // Ends without its last chunk: that is a break too.
    node.next_scan(vec![chunk(&[("pc", "3")], false)]);
    node.next_scan(vec![chunk(&[("pd", "4")], true)]);
    let options = ScanOptions { limit: 10, ..ScanOptions::new(Keys::Prefix("p".into())) };
    let keys = all(&client(&node), options).await.unwrap();
    assert_eq!(keys, ["pa", "pb", "pc", "pd"]);
    let scans = node.scans();
    let span = pb::KeySpan {
        start_form: Some(pb::key_span::StartForm::StartBytes("pb\0".into())),
        end_form: Some(pb::key_span::EndForm::EndBytes("q".into())),
    };
    assert_eq!(scans[1].selector, Some(pb::scan_request::Selector::Span(span)));
    assert_eq!((scans[0].revision, scans[1].revision, scans[2].revision), (0, 2, 2));
    assert_eq!((scans[0].limit, scans[1].limit, scans[2].limit), (10, 8, 7));
}

#[tokio::test]
async fn a_local_scan_that_broke_waits_for_a_node_that_lags() {
    let node = Fake::start(vec![]).await;
    node.next_scan(vec![chunk(&[("a", "1")], false)]);
    node.next_scan(vec![chunk(&[("b", "2")], true)]);
    let options = ScanOptions { level: ReadLevel::Local, ..ScanOptions::new(Keys::All) };
    assert_eq!(all(&client(&node), options).await.unwrap(), ["a", "b"]);
    let scans = node.scans();
    assert_eq!((scans[0].read_level(), scans[0].min_revision), (pb::ReadLevel::Local, 0));
    assert_eq!((scans[1].read_level(), scans[1].min_revision), (pb::ReadLevel::AtLeast, 2));
}

#[tokio::test]
async fn a_descending_scan_goes_on_before_its_last_key() {
    let node = Fake::start(vec![]).await;
    node.next_scan(vec![chunk(&[("c", "3")], false)]);
    node.next_scan(vec![chunk(&[("b", "2")], true)]);
    let options = ScanOptions { order: Order::Descending, ..ScanOptions::new(Keys::All) };
    assert_eq!(all(&client(&node), options).await.unwrap(), ["c", "b"]);
    let span = pb::KeySpan { start_form: None, end_form: Some(pb::key_span::EndForm::EndBytes("c".into())) };
    assert_eq!(node.scans()[1].selector, Some(pb::scan_request::Selector::Span(span)));
}

#[tokio::test]
async fn a_scan_that_only_breaks_ends_with_an_error() {
    let node = Fake::start(vec![]).await;
    let error = all(&client(&node), ScanOptions::new(Keys::All)).await.unwrap_err();
    assert!(error.to_string().contains("the stream ended early"), "{error}");
    assert_eq!(node.scans().len(), 6, "the first, and five more");
}

#[tokio::test]
async fn a_refused_scan_is_not_taken_up_again() {
    let node = Fake::start(vec![]).await;
    node.next_scan(vec![chunk(&[("a", "1")], false), Err(Status::out_of_range("compacted"))]);
    let error = all(&client(&node), ScanOptions::new(Keys::All)).await.unwrap_err();
    assert!(error.to_string().contains("compacted"), "{error}");
    assert_eq!(node.scans().len(), 1);
}
