//! The real state machine over the disk, with crashes anywhere.

use super::{formatted, open};
use crate::sim::disk::{Fault, SimDisk, Survival};
use fastrand::Rng;
use kontiki::kv::{Compact, Put};
use kontiki::machine::{Budget, Command, Machine, Table};
use kontiki::types::{EntryId, Revision};
use std::sync::Arc;

pub(super) fn put(rng: &mut Rng) -> Command {
    let key = format!("k{}", rng.u8(..40)).into();
    Command::Put(Put { key, value: vec![rng.u8(..); rng.usize(..200)].into(), return_previous: false })
}

/// Opens the state in use.
pub(super) fn machine(disk: &SimDisk, seed: u64) -> (Arc<dyn Table>, Machine) {
    let table = open(disk, seed).states.table();
    (table.clone(), Machine::open(table).unwrap())
}

#[test]
fn a_state_comes_back_whole_and_no_older_than_its_last_sync() {
    for seed in 0..40 {
        let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
        // The hash of the state after each entry.
        let mut hashes = vec![0];
        let (mut table, mut machine) = machine(&disk, seed);
        for _ in 0..150 {
            let id = EntryId::new(1, machine.applied().index.get() + 1);
            let revision = machine.view().revision().get();
            let command = match rng.u8(..30) {
                0 if revision > 3 => Command::Compact(Compact { revision: Revision(revision - 2) }),
                _ => put(&mut rng),
            };
            machine.apply(id, &command.encode()).unwrap();
            let view = machine.commit().unwrap();
            hashes.truncate(id.index.get() as usize);
            hashes.push(view.state_hash());
            match rng.u8(..20) {
                0 => {
                    machine.saver().save().unwrap();
                    table.sync().unwrap();
                }
                1 => {
                    while machine.collect_garbage(Budget { keys: 7, blocks: 2 }).unwrap() {
                        machine.commit().unwrap();
                    }
                }
                2 => {
                    let durable = disk.durable().applied;
                    let survival = Survival::random(&mut rng);
                    if rng.bool() {
                        disk.kill()
                    } else {
                        disk.cut_power(survival)
                    }
                    drop((table, machine));
                    (table, machine) = self::machine(&disk, seed);
                    let applied = machine.applied();
                    assert!(applied >= durable, "seed {seed}: {applied} instead of {durable}");
                    assert_eq!(
                        machine.view().state_hash(),
                        hashes[applied.index.get() as usize],
                        "seed {seed}"
                    );
                    assert_eq!(disk.durable().applied, applied, "seed {seed}: what was opened is durable");
                }
                _ => {}
            }
        }
    }
}

/// The records are written, then what vouches for them; a crash may come between the two.
#[test]
fn what_nobody_vouches_for_is_not_there() {
    for seed in 0..60 {
        let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
        let (_, mut machine) = machine(&disk, seed);
        machine.apply(EntryId::new(1, 1), &put(&mut rng).encode()).unwrap();
        disk.arm(Fault::Crash { after: rng.u32(..2) });
        machine.commit().unwrap();
        machine.saver().save().unwrap_err();
        assert!(disk.is_halted());
        disk.crash(rng.bool());
        let (_, machine) = self::machine(&disk, seed);
        assert_eq!(machine.view().keys(), machine.applied().index.get());
    }
}
