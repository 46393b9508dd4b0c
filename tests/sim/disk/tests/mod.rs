//! The disk's own tests: what it takes away, and whether the real code notices.

mod damage;
mod errors;
mod logs;
mod snapshots;
mod speed;
mod states;

use super::{DiskOptions, Opened, SimDisk};
use fastrand::Rng;
use kontiki::raft::{Entry, HardState, Mark, Payload, Persist};
use kontiki::storage::journal::JournalSettings;
use kontiki::storage::{LogSettings, RestoredLog};
use kontiki::types::{ClusterId, EntryId, NodeId, Term};

const CLUSTER: ClusterId = ClusterId(7);

/// A disk with a data directory.
fn formatted(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed, DiskOptions::default());
    disk.format().unwrap();
    disk
}

/// A disk whose log has little room in its journal, and may wait long for a compaction.
fn formatted_small(seed: u64) -> SimDisk {
    let settings =
        [(512 << 10, 2, 0), (512 << 10, 2, 400 << 10), (256 << 10, 5, 200 << 10), (128 << 10, 8, 400 << 10)];
    let (segment_bytes, segments_max, backlog_bytes) = settings[seed as usize % settings.len()];
    let journal = JournalSettings { segment_bytes, segments_min: 2, segments_max };
    let options = DiskOptions::default();
    let disk = SimDisk::new(
        seed,
        DiskOptions { log: LogSettings { journal, backlog_bytes, ..options.log }, ..options },
    );
    disk.format().unwrap();
    disk
}

/// Opens a disk on which nothing may have been lost.
fn open(disk: &SimDisk, context: impl std::fmt::Display) -> Opened {
    let opened = disk.open(CLUSTER).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(opened.lost, None, "{context}");
    opened
}

/// What the core thinks that the log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    log: RestoredLog,
}

impl Model {
    /// What a start finds if the store has taken over nothing yet.
    fn in_the_journal(self) -> RestoredLog {
        RestoredLog { stored: self.log.tail_base.index, ..self.log }
    }

    fn apply(&mut self, job: &Persist) {
        let log = &mut self.log;
        log.hard_state = job.hard_state.unwrap_or(log.hard_state);
        if let Some(base) = job.reset {
            (log.base, log.tail_base) = (base, base);
            log.entries.clear();
        }
        if let Some(first) = job.entries.first() {
            log.entries.retain(|entry| entry.id.index < first.id.index);
            log.entries.extend(job.entries.iter().cloned());
        }
        log.stored = log.last().index;
    }

    /// What was compacted may come back, until that is stored.
    fn check(&self, restored: &RestoredLog, context: impl std::fmt::Display) {
        let log = &self.log;
        assert_eq!((restored.hard_state, restored.last()), (log.hard_state, log.last()), "{context}");
        assert!(restored.base.index <= log.base.index, "{context}");
        assert!(restored.entries.ends_with(&log.entries), "{context}");
    }

    fn compact(&mut self, through: EntryId) {
        (self.log.base, self.log.tail_base) = (through, through);
        self.log.entries.retain(|entry| entry.id.index > through.index);
    }

    /// A job that a core might give: mostly appends, now and then in the place of others.
    fn job(&self, rng: &mut Rng) -> Persist {
        let last = self.log.last();
        let mut term = self.log.hard_state.term.get().max(last.term.get()).max(1);
        let mut job = Persist { mark: Mark(1), hard_state: None, reset: None, entries: Vec::new() };
        let mut first = last.index.get() + 1;
        match rng.u8(..20) {
            0 => {
                let base = EntryId::new(term, last.index.get() + rng.u64(1..50));
                job.reset = Some(base);
                first = base.index.get() + 1;
            }
            1..=3 => {
                term += 1;
                first = rng.u64(self.log.base.index.get() + 1..=first);
            }
            4 => term += 1,
            _ => {}
        }
        if term > self.log.hard_state.term.get() {
            let vote = rng.bool().then(|| NodeId(rng.u64(1..6)));
            job.hard_state = Some(HardState { term: Term(term), vote });
        }
        for index in first..first + rng.u64(..6) {
            let length = if rng.u8(..60) == 0 { rng.usize(70 << 10..300 << 10) } else { rng.usize(..300) };
            let payload = Payload::Command(vec![rng.u8(..); length].into());
            job.entries.push(Entry { id: EntryId::new(term, index), payload });
        }
        job
    }

    /// Some jobs, each on top of those before it.
    fn jobs(&self, rng: &mut Rng) -> Vec<Persist> {
        let mut after = self.clone();
        let jobs = (0..rng.u8(1..4)).map(|_| {
            let job = after.job(rng);
            after.apply(&job);
            job
        });
        jobs.collect()
    }

    fn after(&self, jobs: &[Persist]) -> Self {
        let mut after = self.clone();
        jobs.iter().for_each(|job| after.apply(job));
        after
    }
}
