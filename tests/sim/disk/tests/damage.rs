//! Damage that the disk does not report: the real code must detect it, or nothing may be gone.

use super::states::put;
use super::{CLUSTER, Model, formatted, open};
use crate::sim::disk::{Fault, Opened, Part, Place, Survival};
use fastrand::Rng;
use kontiki::machine::Machine;
use kontiki::types::EntryId;
use std::collections::BTreeMap;

const LOG: Part = Part::Log;

/// The result of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detection {
    /// There was nothing to damage.
    Nothing,
    /// The node refuses to start or stops.
    Noticed,
    /// All that was durable is there.
    Harmless,
    /// Something that was durable is gone, and nobody noticed.
    Silent,
}

/// Writes to a log, damages it, and reads it again after a death of the process or a power cut.
fn log_outcome(seed: u64, fault: Fault, power: bool) -> Detection {
    let disk = formatted(seed);
    let mut rng = Rng::with_seed(seed);
    disk.allow_damage(true);
    let Opened { mut log, mut storer, .. } = open(&disk, seed);
    let mut model = Model::default();
    let strikes = rng.u8(4..12);
    for number in 0..16 {
        if number == strikes && !disk.arm(fault) {
            return Detection::Nothing;
        }
        let at_rest = matches!(fault, Fault::Flip { .. } | Fault::Unreadable { .. } | Fault::LoseWitness);
        if number == strikes && at_rest {
            break;
        }
        let jobs = model.jobs(&mut rng);
        if log.write(&jobs).is_err() {
            return Detection::Noticed;
        }
        model = model.after(&jobs);
        if rng.bool() && storer.step().is_err() {
            return Detection::Noticed;
        }
    }
    if power {
        disk.cut_power(Survival::random(&mut rng))
    } else {
        disk.kill()
    }
    match disk.open(CLUSTER) {
        Err(_) => Detection::Noticed,
        Ok(opened) if opened.lost.is_some() => Detection::Silent,
        Ok(opened) => {
            model.check(&opened.restored, seed);
            Detection::Harmless
        }
    }
}

fn log_outcomes(fault: Fault, power: bool) -> BTreeMap<Detection, u32> {
    let mut outcomes = BTreeMap::new();
    for seed in 0..60 {
        *outcomes.entry(log_outcome(seed, fault, power)).or_default() += 1;
    }
    outcomes
}

#[test]
fn a_killed_process_leaves_no_damage_of_the_log_unnoticed() {
    for fault in [
        Fault::Flip { part: LOG, place: Place::End },
        Fault::Flip { part: LOG, place: Place::Anywhere },
        Fault::Flip { part: LOG, place: Place::Value },
        Fault::Unreadable { part: LOG },
        Fault::Misdirect { part: LOG, after: 1 },
        Fault::ReadFlip { part: LOG, after: 0 },
    ] {
        let outcomes = log_outcomes(fault, false);
        assert_eq!(outcomes.get(&Detection::Silent), None, "{fault:?}: {outcomes:?}");
        let noticed = outcomes.get(&Detection::Noticed).copied().unwrap_or_default();
        assert!(noticed >= 5, "{fault:?}: {outcomes:?}");
    }
}

#[test]
fn only_a_lost_end_after_a_power_cut_can_go_unnoticed() {
    // The witness is not synced: a power cut may leave an older one, which claims less.
    let outcomes = log_outcomes(Fault::Flip { part: LOG, place: Place::End }, true);
    assert!(outcomes[&Detection::Noticed] > 10, "{outcomes:?}");
    let part = Part::Store;
    for fault in [
        Fault::Flip { part, place: Place::Value },
        Fault::Flip { part, place: Place::End },
        Fault::Flip { part, place: Place::Anywhere },
        Fault::Unreadable { part },
        Fault::Unreadable { part: LOG },
    ] {
        let outcomes = log_outcomes(fault, true);
        assert_eq!(outcomes.get(&Detection::Silent), None, "{fault:?}: {outcomes:?}");
    }
}

#[test]
fn a_lost_witness_alone_is_harmless() {
    let outcomes = log_outcomes(Fault::LoseWitness, true);
    assert_eq!(outcomes, BTreeMap::from([(Detection::Harmless, 60)]));
}

/// Damages a state that was synced, and reads all of it again.
fn state_outcome(seed: u64, fault: Fault) -> Detection {
    let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
    disk.allow_damage(true);
    let table = open(&disk, seed).states.table();
    let mut machine = Machine::open(table.clone()).unwrap();
    for index in 1..=20 {
        machine.apply(EntryId::new(1, index), &put(&mut rng).encode()).unwrap();
        machine.commit().unwrap();
        machine.saver().save().unwrap();
    }
    table.sync().unwrap();
    let durable = disk.durable().applied;
    assert_eq!(durable, machine.applied());
    if !disk.arm(fault) {
        return Detection::Nothing;
    }
    disk.cut_power(Survival::Everything);
    let Ok(opened) = disk.open(CLUSTER) else { return Detection::Noticed };
    match Machine::open(opened.states.table()) {
        Err(_) => Detection::Noticed,
        Ok(found) if found.applied() < durable => Detection::Silent,
        Ok(found) => {
            assert_eq!(found.view().state_hash(), machine.view().state_hash());
            Detection::Harmless
        }
    }
}

#[test]
fn a_flipped_bit_of_the_state_is_noticed() {
    let part = Part::State;
    for seed in 0..60 {
        for fault in [Fault::Flip { part, place: Place::Value }, Fault::Unreadable { part }] {
            assert_eq!(state_outcome(seed, fault), Detection::Noticed, "seed {seed}: {fault:?}");
        }
        // The engine drops the end: an older state, whole. Whether the log still reaches
        // down to it is for the replica to check.
        let fault = Fault::Flip { part, place: Place::End };
        assert_eq!(state_outcome(seed, fault), Detection::Silent, "seed {seed}: {fault:?}");
    }
}

#[test]
fn a_bit_of_the_state_that_flips_on_the_way_is_noticed() {
    for seed in 0..20 {
        let (disk, mut rng) = (formatted(seed), Rng::with_seed(seed));
        disk.allow_damage(true);
        let table = open(&disk, seed).states.table();
        let mut machine = Machine::open(table.clone()).unwrap();
        machine.apply(EntryId::new(1, 1), &put(&mut rng).encode()).unwrap();
        machine.commit().unwrap();
        machine.saver().save().unwrap();
        disk.arm(Fault::ReadFlip { part: Part::State, after: rng.u32(..2) });
        let error = Machine::open(table.clone()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert_eq!(disk.counts()["bit flip on read"], 1);
        Machine::open(table).expect("the platter is sound");
    }
}

#[test]
fn damage_needs_leave() {
    let disk = formatted(1);
    open(&disk, 1).log.write(&Model::default().jobs(&mut Rng::with_seed(1))).unwrap();
    let fault = Fault::Flip { part: Part::Log, place: Place::End };
    assert!(!disk.arm(fault) && !disk.is_damaged());
    disk.allow_damage(true);
    assert!(disk.arm(fault) && disk.is_damaged());
    assert_eq!(disk.counts()["bit flip in the last record"], 1);
}
