//! The ways to name keys.

use crate::kv::support::bytes;
use bytes::Bytes;
use kontiki::kv::KeyRange;
use proptest::prelude::*;

#[test]
fn the_end_of_a_prefix_carries() {
    let end = |prefix: &'static [u8]| KeyRange::prefix(Bytes::from_static(prefix)).end;
    assert_eq!(end(b"a"), Some(bytes("b")));
    assert_eq!(end(b"a\xff\xff"), Some(bytes("b")));
    assert_eq!(end(b"\xfe\xff"), Some(bytes(b"\xff")));
    assert_eq!(end(b"\xff"), None);
    assert_eq!(end(b"\xff\xff"), None);
    assert_eq!(KeyRange::prefix(""), KeyRange::all());
}

#[test]
fn a_single_key_is_told_from_a_span() {
    assert!(KeyRange::key("a").is_single_key());
    assert!(KeyRange::key(b"a\0").is_single_key());
    assert!(KeyRange::span("a", Some(bytes("a\0"))).is_single_key());
    assert!(!KeyRange::span("a", Some(bytes("b"))).is_single_key());
    assert!(!KeyRange::span("a", Some(bytes("a"))).is_single_key());
    assert!(!KeyRange::prefix("a").is_single_key());
    assert!(!KeyRange::all().is_single_key());
}

#[test]
fn a_range_that_ends_before_it_starts_is_empty() {
    let inverted = KeyRange::span("b", Some(bytes("a")));
    assert!(inverted.is_empty() && !inverted.contains(b"a") && !inverted.contains(b"b"));
    assert!(KeyRange::span("a", Some(bytes("a"))).is_empty());
    assert!(!KeyRange::key("a").is_empty());
    assert!(!KeyRange::all().is_empty());
}

/// Short keys of the bytes at which orders break.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&[0, 1, b'a', 0xfe, 0xff][..]), 0..4)
}

proptest! {
    #[test]
    fn a_prefix_holds_what_begins_with_it(prefix in key(), other in key()) {
        let range = KeyRange::prefix(prefix.clone());
        prop_assert_eq!(range.contains(&other), other.starts_with(&prefix));
    }

    #[test]
    fn a_key_holds_itself_alone(key in key(), other in key()) {
        prop_assert_eq!(KeyRange::key(&key).contains(&other), key == other);
    }
}
