//! The real log over the disk, against a model, with crashes anywhere.

use super::{Model, formatted, formatted_small, open};
use crate::sim::disk::{Durable, Fault, Opened, SimDisk, Survival};
use fastrand::Rng;
use kontiki::raft::Persist;
use kontiki::storage::{LogStore, LogStorer, RestoredLog};

struct Run {
    seed: u64,
    rng: Rng,
    disk: SimDisk,
    log: Box<dyn LogStore>,
    storer: Box<dyn LogStorer>,
    /// What is there if all goes well.
    model: Model,
    /// What was acknowledged, without a compaction that may be undone.
    acknowledged: Model,
}

impl Run {
    fn new(disk: SimDisk, seed: u64) -> Self {
        let Opened { log, storer, .. } = open(&disk, seed);
        let rng = Rng::with_seed(seed);
        Self { seed, rng, disk, log, storer, model: Model::default(), acknowledged: Model::default() }
    }

    fn step(&mut self) {
        match self.rng.u8(..16) {
            0 | 1 => self.compact(),
            2 => self.crash(),
            3 => self.die_in_a_write(),
            4..=6 => drop(self.storer.step().unwrap()),
            _ => {
                let jobs = self.model.jobs(&mut self.rng);
                self.log.write(&jobs).unwrap();
                self.model = self.model.after(&jobs);
                // An empty write syncs nothing.
                if jobs
                    .iter()
                    .any(|job| job.hard_state.is_some() || !job.entries.is_empty() || job.reset.is_some())
                {
                    self.acknowledged = self.acknowledged.after(&jobs);
                }
                self.check_durable();
            }
        }
    }

    fn compact(&mut self) {
        let Some(entry) = self.rng.choice(&self.model.log.entries) else { return };
        let through = entry.id;
        self.log.compact(through).unwrap();
        self.model.compact(through);
        self.check_durable();
    }

    /// What the disk says is durable is what was acknowledged.
    fn check_durable(&self) {
        let durable = self.disk.durable();
        let acknowledged = &self.acknowledged.log;
        assert_eq!(durable.hard_state, acknowledged.hard_state, "seed {}", self.seed);
        assert!(durable.log.base.index <= acknowledged.base.index, "seed {}", self.seed);
        assert_eq!(durable.log.last, acknowledged.last(), "seed {}", self.seed);
        for entry in &acknowledged.entries {
            assert!(durable.log.covers(entry.id), "seed {}: {}", self.seed, entry.id);
        }
    }

    fn crash(&mut self) {
        if self.rng.bool() {
            self.disk.kill();
            let restored = self.reopen();
            self.model.check(&restored, format_args!("seed {}: the cache was kept", self.seed));
            self.model.log = restored.clone();
            self.acknowledged.log = restored;
            return;
        }
        let survival = Survival::random(&mut self.rng);
        self.disk.cut_power(survival);
        let restored = self.reopen();
        self.check_restored(&restored, &self.model, &[]);
        if survival == Survival::Nothing {
            let acknowledged = &self.acknowledged.log;
            assert_eq!(restored.hard_state, acknowledged.hard_state, "seed {}", self.seed);
            assert_eq!(restored.last(), acknowledged.last(), "seed {}", self.seed);
        }
        self.model.log = restored.clone();
        self.acknowledged.log = restored;
    }

    fn die_in_a_write(&mut self) {
        let jobs = self.model.jobs(&mut self.rng);
        self.disk.arm(Fault::Crash { after: self.rng.u32(..12) });
        let tried = self.model.after(&jobs);
        let done = self.log.write(&jobs).is_ok();
        assert_eq!(done, !self.disk.is_halted(), "seed {}", self.seed);
        let before = self.disk.durable();
        if self.rng.bool() {
            self.disk.kill();
        } else {
            self.disk.cut_power(Survival::random(&mut self.rng));
        }
        let restored = self.reopen();
        self.check_against_ledger(&before, &jobs, done);
        self.check_restored(&restored, &tried, &jobs);
        self.model.log = restored.clone();
        self.acknowledged.log = restored;
    }

    /// An acknowledged write is durable in the ledger's eyes before the crash already.
    fn check_against_ledger(&self, before: &Durable, jobs: &[Persist], done: bool) {
        let after = self.disk.durable();
        assert_eq!(after.log.first_lacking(&before.log), None, "seed {}", self.seed);
        let hard_state = jobs.iter().rev().find_map(|job| job.hard_state);
        if done && let Some(hard_state) = hard_state {
            assert_eq!(before.hard_state, hard_state, "seed {}", self.seed);
        }
    }

    fn reopen(&mut self) -> RestoredLog {
        let opened = open(&self.disk, format_args!("seed {}", self.seed));
        (self.log, self.storer) = (opened.log, opened.storer);
        // What was opened is durable.
        let durable = self.disk.durable();
        assert_eq!((durable.log.base, durable.log.last), (opened.restored.base, opened.restored.last()));
        opened.restored
    }

    /// Between what was acknowledged and what was tried with these jobs.
    fn check_restored(&self, restored: &RestoredLog, tried: &Model, jobs: &[Persist]) {
        let (seed, old, new) = (self.seed, &self.acknowledged.log, &tried.log);
        assert!(restored.hard_state.term >= old.hard_state.term, "seed {seed}");
        assert!(restored.hard_state.term >= restored.last().term, "seed {seed}: entries without their term");
        let common = old
            .entries
            .iter()
            .take_while(|entry| entry.id.index <= new.base.index || new.entries.contains(entry));
        if let Some(last) = common.last().filter(|last| last.id.index > restored.base.index) {
            assert!(restored.last().index >= last.id.index, "seed {seed}: {} is gone", last.id);
        }
        for entry in &restored.entries {
            let written = old.entries.contains(entry) || jobs.iter().any(|job| job.entries.contains(entry));
            assert!(written, "seed {seed}: {} comes from nowhere", entry.id);
        }
    }
}

fn sixty_runs(disk: impl Fn(u64) -> SimDisk, steps: usize) {
    for seed in 0..60 {
        let mut run = Run::new(disk(seed), seed);
        (0..steps).for_each(|_| run.step());
    }
}

#[test]
fn whatever_a_crash_leaves_is_a_log_that_keeps_its_promises() {
    sixty_runs(formatted, 60);
}

#[test]
fn whatever_a_crash_leaves_of_a_small_journal_is_a_log_that_keeps_its_promises() {
    sixty_runs(formatted_small, 200);
}

#[test]
fn a_crash_while_the_directory_is_made_leaves_none() {
    for after in 0.. {
        let disk = SimDisk::new(after.into(), Default::default());
        disk.arm(Fault::Crash { after });
        if disk.format().is_ok() {
            assert!(after > 2, "there are several steps");
            break;
        }
        assert!(disk.is_halted() && !disk.is_formatted());
        disk.crash(true);
        disk.format().unwrap();
        assert_eq!(open(&disk, after).restored, RestoredLog::default());
    }
}

#[test]
fn the_handles_of_a_dead_process_are_dead() {
    let disk = formatted(1);
    let mut rng = Rng::with_seed(1);
    let mut old = open(&disk, 1);
    let job = Model::default().jobs(&mut rng);
    old.log.write(&job).unwrap();
    disk.kill();
    let new = open(&disk, 1);
    assert_eq!(new.restored, Model::default().after(&job).in_the_journal());
    assert!(old.log.write(&job).unwrap_err().to_string().contains("the process is gone"));
    assert!(old.states.stage().is_err());
}

#[test]
fn the_same_seed_makes_the_same_faults() {
    let counts = |seed| {
        let mut run = Run::new(formatted(seed), seed);
        (0..40).for_each(|_| run.step());
        (run.disk.counts(), run.model)
    };
    assert_eq!(counts(5), counts(5));
    assert_ne!(counts(5), counts(6));
}

#[test]
fn a_copied_directory_is_the_same_one_and_a_wiped_one_is_none() {
    let (one, two) = (formatted(1), formatted(2));
    let jobs = Model::default().jobs(&mut Rng::with_seed(3));
    let (mut log, changes) = (open(&one, 1).log, one.changes());
    assert_eq!(one.changes(), changes, "asking changes nothing");
    log.write(&jobs).unwrap();
    assert!(one.changes() > changes, "what is durable has changed");
    assert_ne!(one.directory_id(), two.directory_id());
    two.clone_from_disk(&one);
    assert_eq!(one.directory_id(), two.directory_id());
    assert_eq!(open(&two, 2).restored, Model::default().after(&jobs).in_the_journal());
    one.wipe();
    assert!(!one.is_formatted());
    one.format().unwrap();
    assert_eq!(open(&one, 1).restored, RestoredLog::default());
    assert_ne!(one.directory_id(), two.directory_id());
}
