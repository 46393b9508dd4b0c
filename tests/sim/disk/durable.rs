//! What a power cut would certainly leave, read from the records that the disk was
//! given and has synced: a second opinion on the log's format, on purpose.

use kontiki::raft::HardState;
use kontiki::types::{EntryId, Index, NodeId, Term};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What would be found after a power cut right now, at the least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// Term and vote.
    pub hard_state: HardState,
    /// The log.
    pub log: Arc<Ids>,
    /// The last entry that the state includes.
    pub applied: EntryId,
    /// The entry that the state was installed at, if it came as a snapshot.
    pub installed: Option<EntryId>,
}

impl Durable {
    /// What its log does not have of what was durable before, and not because of a
    /// compaction. A state that has fallen back is no loss while the log can be applied
    /// again; if it cannot, the replica refuses to start.
    pub fn lacks(&self, before: &Self) -> Option<String> {
        let (now, then) = (self.hard_state, before.hard_state);
        let revoked = now.term == then.term && then.vote.is_some() && now.vote != then.vote;
        if now.term < then.term || revoked {
            return Some(format!("the hard state was {then:?} and is {now:?}"));
        }
        if let Some(id) = self.log.first_lacking(&before.log) {
            return Some(format!("entry {id} of the log is gone, which ends at {}", self.log.last));
        }
        None
    }
}

/// The ids of a log's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// The entry before the first one.
    pub base: EntryId,
    /// The last one, or the base.
    pub last: EntryId,
    /// Where each term begins.
    terms: Vec<(u64, u64)>,
}

impl Ids {
    /// An empty log behind an entry.
    fn new(base: EntryId) -> Self {
        Self { base, last: base, terms: Vec::new() }
    }

    /// The term of the entry at an index, if the log has one or begins there.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last.index {
            return None;
        }
        let place = self.terms.partition_point(|(first, _)| *first <= index.get());
        place.checked_sub(1).map(|place| Term(self.terms[place].1))
    }

    /// Whether the log holds the entry, or begins behind its index.
    pub fn covers(&self, id: EntryId) -> bool {
        id.index < self.base.index || self.term_at(id.index) == Some(id.term)
    }

    fn push(&mut self, first: u64, term: u64, last: u64) {
        if self.terms.last().is_none_or(|(_, before)| *before != term) {
            self.terms.push((first, term));
        }
        self.last = EntryId::new(term, last);
    }

    /// Adds the entries of a run that it does not have.
    fn extend(&mut self, run: &Run) {
        for (number, &(first, term)) in run.terms.iter().enumerate() {
            let end = run.terms.get(number + 1).map_or(run.last, |(next, _)| next - 1);
            if end > self.last.index.get() {
                self.push(first.max(self.last.index.get() + 1), term, end);
            }
        }
    }

    /// The first entry of the other log that this one does not cover.
    pub fn first_lacking(&self, other: &Ids) -> Option<EntryId> {
        let mut common = other.clone();
        common.keep_common(self);
        let first = common.last.index.next();
        other.term_at(first).map(|term| EntryId { term, index: first })
    }

    /// Keeps the entries that the other log covers too, up to the first that it does not.
    fn keep_common(&mut self, other: &Ids) {
        let mut next = self.base.index.get() + 1;
        while next <= self.last.index.get() {
            let index = Index(next);
            next = if index < other.base.index {
                other.base.index.get()
            } else if self.term_at(index) == other.term_at(index) {
                self.stretch_end(next).min(other.stretch_end(next)) + 1
            } else {
                break;
            };
        }
        self.truncate(Index(next - 1).min(self.last.index));
    }

    fn truncate(&mut self, last: Index) {
        let term = self.term_at(last).unwrap_or_default();
        self.last = EntryId { term, index: last };
        self.terms.retain(|(first, _)| *first <= last.get());
    }

    /// The last index of the stretch of one term that an index lies in.
    fn stretch_end(&self, index: u64) -> u64 {
        let place = self.terms.partition_point(|(first, _)| *first <= index);
        self.terms.get(place).map_or(self.last.index.get(), |(next, _)| next - 1)
    }
}

/// What is known of a run of entries.
#[derive(Clone, Debug)]
struct Run {
    epoch: u64,
    previous: EntryId,
    /// Where each term begins.
    terms: Vec<(u64, u64)>,
    last: u64,
    parts: u16,
    parts_here: u16,
}

/// What the records of a log say.
#[derive(Clone, Debug, Default)]
pub struct LogFacts {
    hard_state: HardState,
    base: EntryId,
    epoch: u64,
    /// The highest number of a record.
    newest: u64,
    runs: BTreeMap<u64, Run>,
    /// The log that an open would find if nothing were lost.
    now: Ids,
    /// The log that is found whichever of the writes since the last sync are lost.
    certain: Arc<Ids>,
    certain_hard_state: HardState,
}

impl LogFacts {
    /// What is certain of the log.
    pub fn certain(&self) -> (HardState, Arc<Ids>) {
        (self.certain_hard_state, self.certain.clone())
    }

    /// What an open would find if nothing were lost.
    pub fn now(&self) -> (HardState, &Ids) {
        (self.hard_state, &self.now)
    }

    /// The highest number of a record.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// A record was written.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        // Of a run it stands in the first part, behind the number of parts.
        let envelope = match run_key(key) {
            None => Some(value),
            Some((_, 0)) => value.get(2..),
            Some(_) => None,
        };
        let written = envelope.and_then(|envelope| number(envelope, ENVELOPE - 8));
        self.newest = self.newest.max(written.unwrap_or_default());
        match key {
            b"h" => self.hard_state = read_hard_state(value).unwrap_or(self.hard_state),
            b"b" => {
                let before = (self.epoch, self.base);
                (self.epoch, self.base) = read_base(value).unwrap_or(before);
                if before != (self.epoch, self.base) {
                    self.look_again();
                }
            }
            _ => self.insert_part(key, value).unwrap_or_default(),
        }
    }

    /// A record was removed.
    pub fn remove(&mut self, key: &[u8]) {
        let Some((first, _)) = run_key(key) else { return };
        if let Some(run) = self.runs.get_mut(&first) {
            run.parts_here = run.parts_here.saturating_sub(1);
            // What lies below the base was not part of the log any more.
            let mattered = run.epoch == self.epoch && run.last > self.base.index.get();
            if run.parts_here == 0 {
                self.runs.remove(&first);
            }
            if mattered {
                self.look_again();
            }
        }
    }

    /// All that was written is synced.
    pub fn synced(&mut self) {
        self.certain_hard_state = self.hard_state;
        if *self.certain != self.now {
            Arc::make_mut(&mut self.certain).clone_from(&self.now);
        }
    }

    fn insert_part(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (first, part) = run_key(key)?;
        let (parts, body) = (u16::from_be_bytes([*value.first()?, *value.get(1)?]), value.get(2..)?);
        if part > 0 {
            let run = self.runs.get_mut(&first)?;
            run.parts_here += u16::from(run.parts_here == part);
        } else {
            let run = read_run(first, parts, body)?;
            if self.runs.insert(first, run).is_some() {
                self.look_again();
                return Some(());
            }
        }
        let run = self.runs.get(&first)?;
        if run.parts_here < run.parts || run.epoch != self.epoch {
            return Some(());
        }
        if run.previous == self.now.last {
            self.now.extend(run);
        } else if run.last > self.now.last.index.get() {
            // It begins below the base.
            self.look_again();
        }
        Some(())
    }

    /// Reads the whole log as an open would.
    fn look_again(&mut self) {
        let mut now = Ids::new(self.base);
        let above = self.base.index.get();
        for run in self.runs.values().filter(|run| run.epoch == self.epoch && run.last > above) {
            if run.parts_here < run.parts || run.previous.index > now.last.index {
                break;
            }
            now.extend(run);
        }
        self.now = now;
        Arc::make_mut(&mut self.certain).keep_common(&self.now);
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4)?.try_into().ok().map(|bytes| u32::from_be_bytes(bytes) as usize)
}

fn id(bytes: &[u8], at: usize) -> Option<EntryId> {
    Some(EntryId::new(number(bytes, at)?, number(bytes, at + 8)?))
}

/// Version, checksum, cluster and write come before the content.
const ENVELOPE: usize = 21;

fn read_hard_state(value: &[u8]) -> Option<HardState> {
    let voted = *value.get(ENVELOPE + 8)? != 0;
    let vote = NodeId(number(value, ENVELOPE + 9)?);
    Some(HardState { term: Term(number(value, ENVELOPE)?), vote: voted.then_some(vote) })
}

fn read_base(value: &[u8]) -> Option<(u64, EntryId)> {
    Some((number(value, ENVELOPE)?, id(value, ENVELOPE + 8)?))
}

fn run_key(key: &[u8]) -> Option<(u64, u16)> {
    let part = u16::from_be_bytes([*key.get(9)?, *key.get(10)?]);
    (key[0] == b'r').then_some((number(key, 1)?, part))
}

/// Reads the first part of a run; only a run of one entry has more.
fn read_run(first: u64, parts: u16, body: &[u8]) -> Option<Run> {
    let epoch = number(body, ENVELOPE)?;
    let previous = id(body, ENVELOPE + 8)?;
    let count = short(body, ENVELOPE + 24)? as u64;
    let (mut at, mut terms) = (ENVELOPE + 28, Vec::with_capacity(1));
    for index in first..first + count {
        let term = number(body, at)?;
        if terms.last().is_none_or(|(_, before)| *before != term) {
            terms.push((index, term));
        }
        if index + 1 < first + count {
            at = entry_end(body, at + 8)?;
        }
    }
    Some(Run { epoch, previous, terms, last: first + count - 1, parts, parts_here: 1 })
}

/// Where an entry ends, from its kind on.
fn entry_end(body: &[u8], at: usize) -> Option<usize> {
    match body.get(at)? {
        0 => Some(at + 1),
        1 => Some(at + 5 + short(body, at + 1)?),
        _ => (0..3).try_fold(at + 1, |at, _| Some(at + 4 + 8 * short(body, at)?)),
    }
}

/// What the records of a state say.
#[derive(Clone, Debug, Default)]
pub struct StateFacts {
    now: EntryId,
    certain: EntryId,
}

impl StateFacts {
    /// The last entry that the state certainly includes.
    pub fn certain(&self) -> EntryId {
        self.certain
    }

    /// A record was written.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        const META: &[u8] = &[1];
        if key == META {
            self.now = id(value, 1).unwrap_or(self.now);
        }
    }

    /// All that was written is synced.
    pub fn synced(&mut self) {
        self.certain = self.now;
    }
}
