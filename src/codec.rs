//! How messages become bytes: as tonic does it, in buffers of the size that messages here have.
//!
//! tonic takes 8 KiB for each message, in and out; most of ours have some hundred bytes. Larger ones
//! make their buffer grow.
//!
//! A transaction is looked at before it is decoded: in memory its parts are many times as large as the two bytes that
//! an empty one takes on the wire, and so is the time to decode them.

use crate::proto::v1::TxnRequest;
use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::any::TypeId;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

/// What a buffer begins with, and by how much it grows, in bytes.
const BUFFER_BYTES: usize = 1 << 10;
/// A stream's messages share a write until they have so many bytes; tonic's own choice.
const YIELD_BYTES: usize = 32 << 10;

/// The most compares and operations of a transaction in all its branches together. More are not even decoded, whatever
/// the limits are: that takes some milliseconds at the most.
pub const TXN_PARTS_MAX: usize = 1 << 14;

/// The codec of all services; `build.rs` names it.
#[derive(Debug)]
pub struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = Bounded<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        Bounded(ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)))
    }
}

/// Refuses transactions of too many parts, and decodes everything else.
#[derive(Debug)]
pub struct Bounded<D>(D);

impl<D> Decoder for Bounded<D>
where
    D: Decoder<Error = Status>,
    D::Item: 'static,
{
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        if TypeId::of::<D::Item>() == TypeId::of::<TxnRequest>() && parts(from.chunk()) > TXN_PARTS_MAX {
            return Err(Status::invalid_argument(format!(
                "too many compares and operations: a transaction may have {TXN_PARTS_MAX} in all its branches"
            )));
        }
        self.0.decode(from)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// How many compares and operations an encoded transaction has, nested ones included, up to one too many. What cannot
/// be read counts for nothing: decoding it will say why.
fn parts(txn: &[u8]) -> usize {
    let mut count = 0;
    let mut open = vec![txn];
    while let Some(txn) = open.pop() {
        for (field, part) in Fields(txn).filter(|(field, _)| (1..=3).contains(field)) {
            count += 1;
            if count > TXN_PARTS_MAX {
                return count;
            }
            if field != COMPARES {
                open.extend(Fields(part).filter(|(field, _)| *field == NESTED).map(|(_, txn)| txn));
            }
        }
    }
    count
}

/// `TxnRequest.compares`; 2 and 3 are the branches.
const COMPARES: u32 = 1;
/// `TxnOp.txn`.
const NESTED: u32 = 5;

/// The messages in a message, each with its field's number, up to the first that cannot be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            let (field, kind) = decode_key(&mut self.0).ok()?;
            if kind == WireType::LengthDelimited {
                let length = usize::try_from(decode_varint(&mut self.0).ok()?).ok()?;
                let (part, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                return Some((field, part));
            }
            skip_field(kind, field, &mut self.0, DecodeContext::default()).ok()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::txn_op::Op;
    use crate::proto::v1::{Compare, PutRequest, TxnOp};

    fn txn(compares: usize, success: Vec<TxnOp>, failure: Vec<TxnOp>) -> TxnRequest {
        TxnRequest { compares: vec![Compare::default(); compares], success, failure }
    }

    #[test]
    fn parts_are_counted_however_deep_they_are() {
        let put = || TxnOp { op: Some(Op::Put(PutRequest::default())) };
        let nested = |inner| TxnOp { op: Some(Op::Txn(inner)) };
        assert_eq!(parts(&txn(0, vec![], vec![]).encode_to_vec()), 0);
        assert_eq!(parts(&txn(2, vec![put(), put(), put()], vec![TxnOp::default(); 4]).encode_to_vec()), 9);
        let deep = txn(
            1,
            vec![nested(txn(1, vec![put()], vec![nested(txn(0, [(); 5].map(|()| put()).into(), vec![]))]))],
            vec![],
        );
        assert_eq!(parts(&deep.encode_to_vec()), 10);
    }

    #[test]
    fn what_has_too_many_is_not_counted_to_its_end() {
        let many = txn(0, vec![TxnOp::default(); 700_000], vec![]).encode_to_vec();
        assert_eq!(parts(&many), TXN_PARTS_MAX + 1);
    }

    #[test]
    fn garbage_is_left_to_the_decoder() {
        for garbage in [&b"\x12"[..], b"\x12\xff", b"\x12\x05a", b"\xff\xff\xff\xff\xff\xff", b"\x0b\x12\x00"]
        {
            assert!(parts(garbage) <= 1, "{garbage:?}");
        }
    }
}
