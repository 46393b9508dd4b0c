//! A received state takes the place of the old one, or does not.

use super::states::{machine, put};
use super::{CLUSTER, formatted, open};
use crate::sim::disk::{Fault, Survival};
use bytes::Bytes;
use fastrand::Rng;
use kontiki::machine::Machine;
use kontiki::raft::Members;
use kontiki::storage::snapshot::encode;
use kontiki::storage::{SnapshotHeader, StageError, StateStore};
use kontiki::types::EntryId;

/// The file of a state after this many entries.
fn file(entries: u64) -> Vec<u8> {
    let disk = formatted(99);
    let mut rng = Rng::with_seed(99);
    let (_, mut machine) = machine(&disk, 99);
    for index in 1..=entries {
        machine.apply(EntryId::new(1, index), &put(&mut rng).encode()).unwrap();
    }
    let view = machine.commit().unwrap();
    let header = SnapshotHeader {
        cluster: CLUSTER,
        last: view.applied(),
        revision: view.revision(),
        members: Members::default(),
    };
    let mut file = Vec::new();
    for piece in encode(&header, view.export().unwrap()) {
        file.extend_from_slice(&piece.unwrap());
    }
    file
}

fn install(states: &dyn StateStore, file: &[u8]) -> Result<(), StageError> {
    let mut staged = states.stage()?;
    for piece in file.chunks(1000) {
        staged.push(piece)?;
    }
    Ok(staged.finish()?.activate()?)
}

#[test]
fn a_crash_anywhere_leaves_the_old_state_or_the_new_one() {
    let (file, last) = (file(30), EntryId::new(1, 30));
    let (mut old, mut new, mut done) = (0, 0, false);
    for after in 0.. {
        for variant in 0..6 {
            let (disk, mut rng) = (formatted(after), Rng::with_seed(after));
            let (table, mut machine) = machine(&disk, after);
            machine.apply(EntryId::new(1, 1), &put(&mut rng).encode()).unwrap();
            machine.commit().unwrap();
            machine.saver().save().unwrap();
            table.sync().unwrap();
            let states = open(&disk, after).states;
            disk.arm(Fault::Crash { after: after as u32 });
            done = install(&*states, &file).is_ok();
            assert_eq!(done, !disk.is_halted());
            let before = disk.durable();
            match variant {
                0 => disk.kill(),
                1 => disk.cut_power(Survival::Nothing),
                _ => disk.crash(true),
            }
            let opened = open(&disk, after);
            let found = Machine::open(opened.states.table()).unwrap().applied();
            assert!(found >= before.applied, "{found} instead of {}", before.applied);
            assert!(!done || found == last);
            assert_eq!(opened.states.installed(), (found == last).then_some(last));
            if found == last {
                new += 1
            } else {
                old += 1
            }
            assert!([EntryId::new(1, 1), last].contains(&found), "{found}");
        }
        if done {
            break;
        }
    }
    assert!(old > 30 && new > 6, "both were seen: {old}, {new}");
}

#[test]
fn a_reader_keeps_the_old_state_and_its_room_comes_back() {
    let disk = formatted(3);
    let (table, mut machine) = machine(&disk, 3);
    machine.apply(EntryId::new(1, 1), &put(&mut Rng::with_seed(3)).encode()).unwrap();
    let view = machine.commit().unwrap();
    let opened = open(&disk, 3);
    let empty = opened.states.free_bytes().unwrap();
    install(&*opened.states, &file(30)).unwrap();
    install(&*opened.states, &file(30)).unwrap();
    let full = opened.states.free_bytes().unwrap();
    assert!(full < empty);
    assert_eq!(view.keys(), 1);
    assert!(table.get(&[3]).unwrap().is_some(), "the old table is still there");
    drop((table, machine, view));
    assert!(opened.states.free_bytes().unwrap() > full);
    assert_eq!(disk.durable().installed, Some(EntryId::new(1, 30)));
}

#[test]
fn a_snapshot_that_is_cut_short_or_foreign_is_refused() {
    let (disk, file) = (formatted(4), file(30));
    let states = open(&disk, 4).states;
    let mut staged = states.stage().unwrap();
    staged.push(&file[..file.len() - 1]).unwrap();
    assert!(matches!(staged.finish(), Err(StageError::File(_))));
    let mut staged = states.stage().unwrap();
    let mut damaged = file.clone();
    damaged[200] ^= 1;
    assert!(staged.push(&Bytes::from(damaged)).is_err());
    assert_eq!(disk.durable().installed, None);
}
