//! The primitives that every encoding of this module is made of.
//!
//! Each value has exactly one encoding: what was decoded encodes to the same bytes. So damage cannot hide in
//! an encoding that nobody writes, and equal commands have equal bytes on every node.

use bytes::Bytes;
use std::ops::Range;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct DecodeError {
    /// Where, counted from 0.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Writes the primitives one after the other.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer with room for `bytes` bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, the lowest first, the high bit set on all but the last (LEB128).
    pub(crate) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// The bytes without their length, which is known otherwise.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn written(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.into()
    }
}

/// How many bytes [`Writer::varint`] writes for a number.
pub(crate) fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads the primitives one after the other. Byte strings are slices of the
/// input: nothing is copied, and no length is trusted before it is checked.
pub(crate) struct Reader<'a> {
    input: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a Bytes) -> Self {
        Self { input, at: 0 }
    }

    /// An error at the byte read last.
    pub(crate) fn refuse(&self, reason: &'static str) -> DecodeError {
        DecodeError { at: self.at.saturating_sub(1), reason }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte =
            *self.input.get(self.at).ok_or(DecodeError { at: self.at, reason: "the bytes end too early" })?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.refuse("a number exceeds 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return match (byte, shift) {
                    (0, 1..) => Err(self.refuse("a number is padded with zeros")),
                    _ => Ok(number),
                };
            }
        }
        Err(self.refuse("a number exceeds 64 bits"))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.varint()?;
        self.raw(length)
    }

    pub(crate) fn raw(&mut self, length: u64) -> Result<Bytes, DecodeError> {
        Ok(self.input.slice(self.pass(length)?))
    }

    /// What [`bytes`](Self::bytes) reads, borrowed.
    pub(crate) fn borrowed(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.varint()?;
        Ok(&self.input[self.pass(length)?])
    }

    /// The place of the next bytes.
    fn pass(&mut self, length: u64) -> Result<Range<usize>, DecodeError> {
        let left = self.input.len() - self.at;
        if length > left as u64 {
            return Err(self.refuse("a length exceeds the bytes that are left"));
        }
        let start = self.at;
        self.at += length as usize;
        Ok(start..self.at)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// Whether all input was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.input.len()
    }

    /// Checks that all input was read.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.input.len() {
            Ok(())
        } else {
            Err(DecodeError { at: self.at, reason: "there are bytes after the end" })
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        for byte in &mut array {
            *byte = self.byte()?;
        }
        Ok(array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form_of_known_length() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut writer = Writer::with_capacity(0);
            writer.varint(number);
            let bytes = writer.finish();
            assert_eq!(bytes.len(), varint_len(number));
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint(), Ok(number));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn other_forms_of_a_number_are_refused() {
        let padded = Bytes::from_static(&[0x81, 0x00]);
        let too_long = Bytes::from_static(&[0xff; 11]);
        let too_big = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]);
        for input in [padded, too_long, too_big] {
            assert!(Reader::new(&input).varint().is_err(), "{input:?}");
        }
    }
}
