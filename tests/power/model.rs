//! The operations on a data directory, and so what may be in it after a cut.

use bytes::Bytes;
use fastrand::Rng;
use kontiki::raft::{Entry, HardState, Mark, Payload, Persist};
use kontiki::storage::RestoredLog;
use kontiki::types::{EntryId, NodeId, Term};
use std::collections::BTreeMap;
use std::ops::Range;

/// Length and checksum of a payload or a value.
pub type Digest = (u64, u32);

/// The records of a state table.
pub type Records = BTreeMap<Vec<u8>, Digest>;

/// The key whose value counts the changes of the table.
pub const COUNTER: &[u8] = b"~counter";

/// A log without its payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub hard_state: HardState,
    pub base: EntryId,
    pub entries: BTreeMap<u64, (u64, Digest)>,
}

/// What happens to a directory.
pub enum Step {
    /// Durable when done.
    Log(Vec<Persist>),
    /// Not durable before the next write of the log.
    Compact(EntryId),
    /// Not durable before the next sync.
    Table(Vec<(Bytes, Option<Bytes>)>),
    Sync,
    /// Durable when done.
    Install(Vec<(Bytes, Bytes)>),
}

/// What the next step is chosen by: the worker and its judge hold equal ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub log: Log,
    /// Changes of the table so far.
    pub changes: u64,
}

pub fn digest(bytes: &[u8]) -> Digest {
    (bytes.len() as u64, crc32c::crc32c(bytes))
}

impl Log {
    pub fn of(restored: &RestoredLog) -> Self {
        let mut log =
            Self { hard_state: restored.hard_state, base: restored.base, entries: BTreeMap::default() };
        log.add(&restored.entries);
        log
    }

    pub fn last(&self) -> EntryId {
        self.entries.last_key_value().map_or(self.base, |(index, (term, _))| EntryId::new(*term, *index))
    }

    pub fn bytes(&self) -> u64 {
        self.entries.values().map(|(_, (length, _))| length).sum()
    }

    pub fn write(&mut self, jobs: &[Persist]) {
        for job in jobs {
            if let Some(hard_state) = job.hard_state {
                self.hard_state = hard_state;
            }
            if let Some(base) = job.reset {
                self.base = base;
                self.entries.clear();
            }
            if let Some(first) = job.entries.first() {
                self.entries.split_off(&first.id.index.get());
            }
            self.add(&job.entries);
        }
    }

    pub fn compact(&mut self, through: EntryId) {
        self.base = through;
        self.entries = self.entries.split_off(&(through.index.get() + 1));
    }

    /// Adds entries where there are none.
    pub fn add<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) {
        for Entry { id, payload } in entries {
            let Payload::Command(bytes) = payload else { panic!("only commands were written") };
            self.entries.insert(id.index.get(), (id.term.get(), digest(bytes)));
        }
    }
}

impl Known {
    /// Notes a step as done.
    pub fn follow(&mut self, step: &Step) {
        match step {
            Step::Log(jobs) => self.log.write(jobs),
            Step::Compact(through) => self.log.compact(*through),
            Step::Table(_) | Step::Install(_) => self.changes += 1,
            Step::Sync => {}
        }
    }

    /// Chooses the next step.
    pub fn next(&self, rng: &mut Rng) -> Step {
        match rng.u32(..100) {
            0..=4 => self.vote(rng),
            5..=10 => self.truncate(rng),
            11..=22 if self.log.entries.len() > 40 || self.log.bytes() > 4 << 20 => self.compact(rng),
            23 if rng.bool() => self.reset(rng),
            24..=51 => self.table(rng),
            52..=56 => Step::Sync,
            57 => self.install(rng),
            _ => self.append(rng),
        }
    }

    fn vote(&self, rng: &mut Rng) -> Step {
        let HardState { term, .. } = self.log.hard_state;
        let hard_state = HardState { term: Term(term.get() + 1), vote: Some(NodeId(rng.u64(1..4))) };
        Step::Log(vec![job(Some(hard_state), Vec::new())])
    }

    fn append(&self, rng: &mut Rng) -> Step {
        let mut jobs = Vec::new();
        let mut last = self.log.last();
        let hard_state = self.log.hard_state;
        for _ in 0..rng.usize(1..4) {
            let entries = entries(rng, hard_state.term.get().max(last.term.get()), last.index.get() + 1);
            last = entries.last().map_or(last, |entry| entry.id);
            jobs.push(job(None, entries));
        }
        if last.term > hard_state.term {
            jobs[0].hard_state = Some(HardState { term: last.term, vote: None });
        }
        Step::Log(jobs)
    }

    fn truncate(&self, rng: &mut Rng) -> Step {
        let (base, last) = (self.log.base.index.get(), self.log.last().index.get());
        let first = rng.u64(base..=last).max(last.saturating_sub(30)).max(base) + 1;
        let term = self.log.hard_state.term.get() + 1;
        let hard_state = HardState { term: Term(term), vote: None };
        Step::Log(vec![job(Some(hard_state), entries(rng, term, first))])
    }

    fn compact(&self, rng: &mut Rng) -> Step {
        let place = rng.usize(..self.log.entries.len());
        let (index, (term, _)) = self.log.entries.iter().nth(place).expect("there are entries");
        Step::Compact(EntryId::new(*term, *index))
    }

    fn reset(&self, rng: &mut Rng) -> Step {
        let last = self.log.last();
        let term = self.log.hard_state.term.get() + 1;
        let base = EntryId::new(term, last.index.get() + rng.u64(1..100));
        let hard_state = HardState { term: Term(term), vote: None };
        let mut job = job(Some(hard_state), entries(rng, term, base.index.get() + 1));
        job.reset = Some(base);
        Step::Log(vec![job])
    }

    fn table(&self, rng: &mut Rng) -> Step {
        let mut changes = BTreeMap::new();
        let large = rng.u8(..20) == 0;
        for _ in 0..rng.usize(1..24) {
            let value =
                (rng.u8(..5) > 0).then(|| if large { random(rng, 50_000..400_000) } else { bytes(rng) });
            changes.insert(key(rng), value);
        }
        changes.insert(COUNTER.into(), Some(self.counter()));
        Step::Table(changes.into_iter().collect())
    }

    fn install(&self, rng: &mut Rng) -> Step {
        let mut records = BTreeMap::new();
        for _ in 0..rng.usize(1..120) {
            records.insert(key(rng), bytes(rng));
        }
        records.insert(COUNTER.into(), self.counter());
        Step::Install(records.into_iter().collect())
    }

    fn counter(&self) -> Bytes {
        (self.changes + 1).to_be_bytes().to_vec().into()
    }
}

fn job(hard_state: Option<HardState>, entries: Vec<Entry>) -> Persist {
    Persist { mark: Mark(1), hard_state, reset: None, entries }
}

fn entries(rng: &mut Rng, term: u64, first: u64) -> Vec<Entry> {
    let command = |bytes| Payload::Command(bytes);
    let entries: Vec<Payload> = match rng.u8(..40) {
        // As much as one write of a busy node: several segments of the engine.
        0 => (0..rng.usize(4..50)).map(|_| command(random(rng, 40_000..200_000))).collect(),
        1 => (0..rng.usize(1..10)).map(|_| command(random(rng, 200_000..1_400_000))).collect(),
        _ => (0..rng.usize(1..6)).map(|_| command(bytes(rng))).collect(),
    };
    (first..).zip(entries).map(|(index, payload)| Entry { id: EntryId::new(term, index), payload }).collect()
}

fn key(rng: &mut Rng) -> Bytes {
    format!("key{:03}", rng.u32(..300)).into()
}

/// Mostly small, sometimes large enough to fill segments and to be cut into pieces.
fn bytes(rng: &mut Rng) -> Bytes {
    match rng.u8(..100) {
        0..=69 => random(rng, 1..400),
        70..=94 => random(rng, 400..20_000),
        95..=98 => random(rng, 20_000..150_000),
        _ => random(rng, 150_000..600_000),
    }
}

fn random(rng: &mut Rng, length: Range<usize>) -> Bytes {
    let mut bytes = vec![0; rng.usize(length)];
    rng.fill(&mut bytes);
    bytes.into()
}
