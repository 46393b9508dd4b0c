//! The engine's log of operations.
//!
//! ```text
//! frame     = length (u32) ‖ CRC32C of place, length and body ‖ body
//! body      = operation*          one, or all of a batch
//! operation = key length (u16) ‖ value length + 1, or 0 to remove (u32) ‖ key ‖ value
//! ```
//!
//! The place in the file is part of the checksum, so that a misplaced frame is invalid.

use bytes::Bytes;
use std::ops::Range;

const HEAD: usize = 8;

/// One change.
pub type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Appends a frame to a file's bytes.
pub fn append<'a>(file: &mut Vec<u8>, changes: impl IntoIterator<Item = Change<'a>>) {
    let start = file.len();
    file.extend_from_slice(&[0; HEAD]);
    for (key, value) in changes {
        let length = u16::try_from(key.len()).expect("keys are short");
        file.extend_from_slice(&length.to_be_bytes());
        let length = value.map_or(0, |value| u32::try_from(value.len()).expect("values are below 4 GiB") + 1);
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(key);
        file.extend_from_slice(value.unwrap_or_default());
    }
    let length = u32::try_from(file.len() - start - HEAD).expect("frames are below 4 GiB");
    file[start..start + 4].copy_from_slice(&length.to_be_bytes());
    seal(file, start);
}

/// Makes the checksum of the frame at `start` right, if its length still makes sense: damage may come twice.
pub fn seal(file: &mut [u8], start: usize) {
    let Some(length) = number(file, start) else { return };
    let Some(body) = (start + HEAD).checked_add(length).and_then(|end| file.get(start + HEAD..end)) else {
        return;
    };
    let sum = checksum(start, &file[start..start + 4], body).to_be_bytes();
    file[start + 4..start + HEAD].copy_from_slice(&sum);
}

/// The positions of the frames, up to the first invalid one.
pub fn frames(file: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let length = number(file, start)?;
        let body = file.get(start + HEAD..(start + HEAD).checked_add(length)?)?;
        let sum = checksum(start, &file[start..start + 4], body).to_be_bytes();
        if length == 0 || sum != file[start + 4..start + HEAD] {
            return None;
        }
        let frame = start..start + HEAD + length;
        start = frame.end;
        Some(frame)
    })
}

/// A change as it was read: the key, the value, and where in the frame the value lies.
pub type Read = (Bytes, Option<Bytes>, Range<usize>);

/// The changes of a whole frame.
pub fn changes(frame: &Bytes) -> impl Iterator<Item = Read> {
    let mut at = HEAD;
    std::iter::from_fn(move || {
        let head = frame.get(at..at + 6)?;
        let key = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let value = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let start = at + 6 + key;
        let place = start..start + value.saturating_sub(1);
        let change =
            (frame.slice(at + 6..start), (value > 0).then(|| frame.slice(place.clone())), place.clone());
        at = place.end;
        Some(change)
    })
}

fn number(file: &[u8], at: usize) -> Option<usize> {
    let bytes = file.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes) as usize)
}

fn checksum(place: usize, length: &[u8], body: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&(place as u64).to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, length), body)
}
