//! The snapshot file: it decodes to what was encoded, and all damage is detected.

use bytes::Bytes;
use kontiki::kv::TableError;
use kontiki::member::Member;
use kontiki::raft::Members;
use kontiki::storage::snapshot::{Decoder, SnapshotFileError, SnapshotHeader, encode, inspect};
use kontiki::types::{ClusterId, EntryId, NodeId, Revision};
use proptest::collection::vec;
use proptest::prelude::*;

type Records = Vec<(Bytes, Bytes)>;

/// Some in every role, two of them with all that can be said of a member.
pub fn members() -> Members {
    let ids = |ids: [u64; 2]| ids.map(NodeId).into();
    let reached = |id, name: &str| Member {
        peer_urls: vec![format!("http://{name}:2380"), format!("http://{name}.example:2380")],
        client_urls: vec![format!("http://{name}:2379")],
        ..Member::named(NodeId(id), name)
    };
    let named = Member::named(NodeId(2), "n2");
    let learner = Member { learner: true, ..Member::named(NodeId(4), "") };
    Members::new(ids([1, 2]), ids([1, 3]), [reached(1, "n1"), named, reached(3, "n3"), learner]).unwrap()
}

pub fn header() -> SnapshotHeader {
    SnapshotHeader {
        cluster: ClusterId(7),
        last: EntryId::new(3, 99),
        members: members(),
        revision: Revision(42),
    }
}

pub fn file(records: &Records) -> Vec<u8> {
    let pieces = encode(&header(), records.iter().cloned().map(Ok));
    pieces.collect::<Result<Vec<Bytes>, _>>().unwrap().concat()
}

fn small() -> Records {
    vec![("a".into(), "1".into()), ("".into(), "".into()), ("b".into(), vec![0; 30].into())]
}

fn decode(file: &[u8], piece: usize) -> Result<Records, SnapshotFileError> {
    let mut decoder = Decoder::new();
    let mut records = Vec::new();
    for piece in file.chunks(piece) {
        records.extend(decoder.push(piece)?);
    }
    let summary = decoder.finish()?;
    assert_eq!(
        (summary.header, summary.records, summary.bytes),
        (header(), records.len() as u64, file.len() as u64)
    );
    Ok(records)
}

#[test]
fn large_and_small_records_in_any_pieces() {
    let mut records = small();
    records.push(("large".into(), vec![5; 3 << 20].into()));
    records.extend((0..5000_u32).map(|n| (n.to_be_bytes().to_vec().into(), vec![n as u8; 200].into())));
    let file = file(&records);
    for piece in [1000, 65_536, file.len()] {
        assert!(decode(&file, piece).unwrap() == records);
    }
    let pieces: Vec<Bytes> = encode(&header(), records.into_iter().map(Ok)).map(Result::unwrap).collect();
    assert!(pieces.iter().all(|piece| piece.len() < 4 << 20), "no piece outgrows a message");
}

#[test]
fn an_empty_state() {
    assert_eq!(decode(&file(&Records::new()), 7).unwrap(), Records::new());
}

#[test]
fn inspection_says_what_it_holds() {
    let file = file(&small());
    let found = inspect(&file[..]).unwrap();
    assert_eq!((found.header, found.records, found.bytes), (header(), 3, file.len() as u64));
    assert_ne!(found.hash, inspect(&self::file(&Records::new())[..]).unwrap().hash);
}

#[test]
fn a_file_that_ends_too_early_is_refused_at_every_length() {
    let file = file(&small());
    for length in 0..file.len() {
        assert_eq!(inspect(&file[..length]), Err(SnapshotFileError::Truncated { offset: length as u64 }));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut file = file(&small());
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            assert!(inspect(&file[..]).is_err(), "bit {bit} of byte {at}");
            file[at] ^= 1 << bit;
        }
    }
}

#[test]
fn blocks_that_are_missing_repeated_or_swapped_are_noticed() {
    let records: Records = (0..3_u8).map(|n| (vec![n].into(), vec![n; 300 << 10].into())).collect();
    let pieces: Vec<Bytes> = encode(&header(), records.into_iter().map(Ok)).map(Result::unwrap).collect();
    assert_eq!(pieces.len(), 5, "the start, three blocks, the trailer");
    for order in [
        vec![0, 1, 3, 4],
        vec![0, 1, 2, 2, 3, 4],
        vec![0, 2, 1, 3, 4],
        vec![0, 0, 1, 2, 3, 4],
        vec![1, 2, 3, 4],
    ] {
        let file: Vec<u8> = order.iter().flat_map(|at| pieces[*at].to_vec()).collect();
        assert!(inspect(&file[..]).is_err(), "{order:?}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let whole = file(&small());
    assert!(
        inspect(&b"PNG, perhaps"[..]).unwrap_err().to_string().contains("not a snapshot file of Kontiki")
    );
    for format in [2, 4] {
        let mut other = whole.clone();
        other[11] = format;
        let error = inspect(&other[..]).unwrap_err();
        assert_eq!(error, SnapshotFileError::OtherFormat { found: format.into() });
        assert!(error.to_string().ends_with("reads only format 3; use the version that wrote it"), "{error}");
    }
    let longer = [&whole[..], b"x"].concat();
    let reason = "bytes follow the trailer".to_owned();
    assert_eq!(inspect(&longer[..]), Err(SnapshotFileError::Damaged { offset: whole.len() as u64, reason }));
}

#[test]
fn a_length_that_lies_is_refused_before_it_is_believed() {
    let start = encode(&header(), Records::new().into_iter().map(Ok)).next().unwrap().unwrap();
    let mut decoder = Decoder::new();
    decoder.push(&start).unwrap();
    let error = decoder.push(&[2, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
    assert!(error.to_string().contains("4294967295 bytes"), "{error}");
    assert_eq!(decoder.push(b"more").unwrap_err(), error, "an error is final");
}

#[test]
fn an_error_of_the_state_ends_the_file() {
    let failed = TableError("disk".into());
    let records = [Ok(("a".into(), "1".into())), Err(failed.clone())];
    let pieces: Vec<_> = encode(&header(), records).collect();
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[1], Err(failed));
}

proptest! {
    #[test]
    fn any_records_in_any_pieces(
        records in vec((vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..300)), 0..50),
        piece in 1..500_usize,
    ) {
        let records: Records = records.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        prop_assert_eq!(decode(&file(&records), piece).unwrap(), records);
    }

    #[test]
    fn nonsense_never_panics(bytes in vec(any::<u8>(), 0..200), at in 0..200_usize) {
        let mut file = file(&small());
        let at = at.min(file.len());
        file.splice(at.., bytes);
        let _ = inspect(&file[..]);
    }
}
