//! Where a page ended, as opaque text.
//!
//! A token pins the revision, so that all pages show the same state, and knows the range and order that it
//! belongs to: sent with another request, it is refused instead of answering something that nobody asked for.
//!
//! ```text
//! token = base64url(version(1) order(1) fingerprint(8) revision(8) boundary(…) crc32c(4))
//! ```

use crate::api::fault::Fault;
use crate::kv::{KeyRange, Order};
use crate::reason::Reason;
use crate::types::Revision;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

const VERSION: u8 = 1;
const FIXED_BYTES: usize = 1 + 1 + 8 + 8;
const CHECKSUM_BYTES: usize = 4;

/// Where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// The state that all pages show.
    pub revision: Revision,
    /// Ascending, the first key of the next page; descending, the key before
    /// which it ends.
    pub boundary: Bytes,
}

impl PageToken {
    /// The position after `last`, the last key of a page.
    pub fn behind(last: &[u8], order: Order, revision: Revision) -> Self {
        let boundary = match order {
            Order::Ascending => [last, &[0]].concat().into(),
            Order::Descending => Bytes::copy_from_slice(last),
        };
        Self { revision, boundary }
    }

    /// The rest of a range.
    pub fn rest(&self, range: &KeyRange, order: Order) -> KeyRange {
        match order {
            Order::Ascending => KeyRange { start: self.boundary.clone(), end: range.end.clone() },
            Order::Descending => KeyRange { start: range.start.clone(), end: Some(self.boundary.clone()) },
        }
    }

    /// The token for pages of this range in this order.
    pub fn encode(&self, range: &KeyRange, order: Order) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.boundary.len() + CHECKSUM_BYTES);
        bytes.push(VERSION);
        bytes.push(order_byte(order));
        bytes.extend_from_slice(&fingerprint(range).to_be_bytes());
        bytes.extend_from_slice(&self.revision.get().to_be_bytes());
        bytes.extend_from_slice(&self.boundary);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that came with a request for this range in this order.
    pub fn decode(token: &str, range: &KeyRange, order: Order) -> Result<Self, Fault> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| damaged())?;
        let (bytes, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
        if crc32c::crc32c(bytes) != u32::from_be_bytes(*checksum) {
            return Err(damaged());
        }
        let (&version, bytes) = bytes.split_first().ok_or_else(damaged)?;
        if version != VERSION {
            return Err(refused("it was made by another version of the server; start again without a token"));
        }
        let (&order_of_token, bytes) = bytes.split_first().ok_or_else(damaged)?;
        let (fingerprint_of_token, bytes) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (revision, boundary) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        if order_of_token != order_byte(order) {
            return Err(refused("it belongs to a request with the other order"));
        }
        if u64::from_be_bytes(*fingerprint_of_token) != fingerprint(range) {
            return Err(refused(
                "it belongs to a request for other keys; repeat the selector of the first page",
            ));
        }
        // The checksum is not a signature: whatever a token says, it must not lead out of the range.
        let inside =
            *boundary >= range.start[..] && range.end.as_ref().is_none_or(|end| *boundary <= end[..]);
        if !inside {
            return Err(damaged());
        }
        Ok(Self {
            revision: Revision(u64::from_be_bytes(*revision)),
            boundary: Bytes::copy_from_slice(boundary),
        })
    }
}

fn order_byte(order: Order) -> u8 {
    match order {
        Order::Ascending => 0,
        Order::Descending => 1,
    }
}

fn fingerprint(range: &KeyRange) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(range.start.len() as u64).to_be_bytes());
    hash.update(&range.start);
    if let Some(end) = &range.end {
        hash.update(end);
    }
    hash.update(&[u8::from(range.end.is_some())]);
    hash.digest()
}

fn damaged() -> Fault {
    refused("it is damaged; send `next_page_token` exactly as it was answered")
}

fn refused(why: &str) -> Fault {
    Fault::field(Reason::PageTokenInvalid, "page_token", format!("the token cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_range() -> KeyRange {
        KeyRange::span("a", Some("m".into()))
    }

    fn token() -> PageToken {
        PageToken::behind(b"c", Order::Ascending, Revision(7))
    }

    #[test]
    fn leads_on_behind_the_last_key() {
        let range = any_range();
        let back = PageToken::decode(&token().encode(&range, Order::Ascending), &range, Order::Ascending);
        assert_eq!(back, Ok(token()));
        let rest = token().rest(&range, Order::Ascending);
        assert!(!rest.contains(b"c") && rest.contains(b"c\0") && rest.contains(b"d"));

        let down = PageToken::behind(b"c", Order::Descending, Revision(7));
        let rest = down.rest(&range, Order::Descending);
        assert!(!rest.contains(b"c") && rest.contains(b"b\xff") && rest.contains(b"a"));
    }

    #[test]
    fn serves_only_its_own_request() {
        let range = any_range();
        let text = token().encode(&range, Order::Ascending);
        for (other, order) in [
            (KeyRange::span("a", Some("n".into())), Order::Ascending),
            (KeyRange::span("a", None), Order::Ascending),
            (KeyRange::all(), Order::Ascending),
            (range, Order::Descending),
        ] {
            let fault = PageToken::decode(&text, &other, order).unwrap_err();
            assert_eq!(fault.reason(), Reason::PageTokenInvalid);
            assert_eq!(fault.at(), Some("page_token"));
        }
    }

    /// A forged token whose checksum is right still cannot leave the range.
    #[test]
    fn never_leads_out_of_the_range() {
        let range = any_range();
        for boundary in ["Z", "z"] {
            let forged = PageToken { revision: Revision(7), boundary: boundary.into() };
            let text = forged.encode(&range, Order::Ascending);
            assert!(PageToken::decode(&text, &range, Order::Ascending).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_damage_is_noticed(at in 0usize..30, bit in 0u8..6) {
            let text = token().encode(&any_range(), Order::Ascending);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let damaged = URL_SAFE_NO_PAD.encode(&bytes);
            prop_assert!(PageToken::decode(&damaged, &any_range(), Order::Ascending).is_err());
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in ".{0,80}") {
            prop_assert!(PageToken::decode(&text, &any_range(), Order::Ascending).is_err());
        }
    }
}
