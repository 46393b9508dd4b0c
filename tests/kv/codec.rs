//! The byte form of commands.

use crate::kv::generate::command;
use crate::kv::support::{compact, put, read, txn};
use bytes::Bytes;
use kontiki::kv::{KeyRange, Op};
use kontiki::machine::Command;
use proptest::prelude::*;

/// Whatever decodes must be what [`Command::encode`] writes, byte for byte.
fn assert_canonical(input: &Bytes) {
    if let Ok(command) = Command::decode(input) {
        assert_eq!(command.encode(), input, "{command:?} has a second form");
    }
}

proptest! {
    #[test]
    fn a_command_comes_back(command in command()) {
        prop_assert_eq!(Command::decode(&command.encode()), Ok(command));
    }

    #[test]
    fn damage_is_refused_or_is_another_command(command in command()) {
        let form = command.encode();
        for at in 0..form.len() {
            for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
                let mut damaged = form.to_vec();
                damaged[at] ^= flip;
                assert_canonical(&damaged.into());
            }
        }
    }

    #[test]
    fn a_piece_of_a_command_is_refused(command in command(), more in any::<u8>()) {
        let form = command.encode();
        for length in 0..form.len() {
            prop_assert!(Command::decode(&form.slice(..length)).is_err());
        }
        let longer: Bytes = form.iter().copied().chain([more]).collect();
        prop_assert!(Command::decode(&longer).is_err());
    }

    #[test]
    fn noise_does_no_harm(noise in prop::collection::vec(any::<u8>(), 0..100), kind in 1..7u8) {
        assert_canonical(&noise.clone().into());
        assert_canonical(&[vec![kind], noise].concat().into());
    }
}

/// A log outlives the program that wrote it: these bytes must never change.
#[test]
fn the_form_is_fixed() {
    assert_eq!(Command::Put(put("k", "value")).encode(), &b"\x01\x00\x01k\x05value"[..]);
    assert_eq!(compact(300).encode(), &b"\x04\xac\x02"[..]);
    let txn = txn(vec![], vec![Op::Range(read(KeyRange::key("k")))], vec![]);
    assert_eq!(Command::Txn(txn).encode(), &b"\x03\x00\x01\x05\x00\x00\x01k\x00\x00"[..]);
}

#[test]
fn reading_copies_nothing() {
    let form = Command::Put(put("key", "value")).encode();
    let Ok(Command::Put(put)) = Command::decode(&form) else { panic!("not a put") };
    assert!(form.as_ptr_range().contains(&put.value.as_ptr()));
}

fn nested(depth: usize) -> Command {
    let innermost = txn(vec![], vec![], vec![]);
    Command::Txn((1..depth).fold(innermost, |inner, _| txn(vec![], vec![Op::Txn(inner)], vec![])))
}

#[test]
fn transactions_nest_sixteen_deep() {
    let deepest = nested(16);
    assert_eq!(Command::decode(&deepest.encode()), Ok(deepest));
    let error = Command::decode(&nested(17).encode()).unwrap_err();
    assert_eq!(error.reason, "transactions are nested too deep");
}

#[test]
fn a_tower_of_transactions_does_not_exhaust_the_stack() {
    let tower: Vec<u8> = [3, 0, 1].repeat(500_000);
    assert!(Command::decode(&tower.into()).is_err());
}

#[test]
fn a_claimed_length_allocates_nothing() {
    const MOST: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    for head in [&[1, 0][..], &[2, 0, 0], &[2, 0, 2], &[3], &[3, 0], &[3, 0, 0]] {
        let input = [head, &MOST].concat();
        assert!(Command::decode(&input.into()).is_err(), "{head:?}");
    }
}

#[test]
fn a_transaction_writes_if_any_branch_of_it_does() {
    let reads = Op::Range(read(KeyRange::all()));
    let writes = Op::Put(put("k", "v"));
    let nested = |op: &Op| txn(vec![], vec![], vec![Op::Txn(txn(vec![], vec![], vec![op.clone()]))]);
    assert!(nested(&reads).is_read_only());
    assert!(!nested(&writes).is_read_only());
}
