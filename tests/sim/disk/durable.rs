//! What a power cut would certainly leave, read from the records that the disk was
//! given and has synced: a second opinion on the journal's format, on purpose.

use kontiki::raft::HardState;
use kontiki::storage::RestoredLog;
use kontiki::types::{EntryId, Index, NodeId, Term};
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
    /// What was durable before and is missing from its log, other than by a compaction. A state that has
    /// fallen back is not a loss while the log can be applied again; if it cannot, the replica refuses to
    /// start.
    pub fn lacks(&self, before: &Self) -> Option<String> {
        let (now, then) = (self.hard_state, before.hard_state);
        let revoked = now.term == then.term && then.vote.is_some() && now.vote != then.vote;
        if now.term < then.term || revoked {
            return Some(format!("the hard state was {then:?} and is {now:?}"));
        }
        if !self.log.covers(before.log.base) {
            return Some(format!("the log began behind {} and ends at {}", before.log.base, self.log.last));
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

/// What the records of a journal say.
#[derive(Clone, Debug, Default)]
pub struct JournalFacts {
    hard_state: HardState,
    /// The log that an open would find if nothing were lost.
    now: Ids,
    /// The part of a group that goes on in another record.
    part: Vec<u8>,
    /// What is found in any case, whichever of the writes since the last sync are lost.
    certain: Arc<Ids>,
    certain_hard_state: HardState,
}

impl JournalFacts {
    /// Those of a log that was opened: all of it is durable.
    pub fn of(restored: &RestoredLog) -> Self {
        let mut now = Ids::new(restored.base);
        for entry in &restored.entries {
            now.push(entry.id.index.get(), entry.id.term.get(), entry.id.index.get());
        }
        Self {
            hard_state: restored.hard_state,
            certain: Arc::new(now.clone()),
            now,
            part: Vec::new(),
            certain_hard_state: restored.hard_state,
        }
    }

    /// What is certain of the log.
    pub fn certain(&self) -> (HardState, Arc<Ids>) {
        (self.certain_hard_state, self.certain.clone())
    }

    /// Records were written, perhaps behind the header of a segment.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut at = if bytes.starts_with(b"KJS2") { SECTOR } else { 0 };
        while bytes.get(at..).is_some_and(|rest| rest.starts_with(b"KJR1")) {
            at += self.record(&bytes[at..]).unwrap_or(SECTOR);
        }
    }

    fn record(&mut self, bytes: &[u8]) -> Option<usize> {
        let (length, flags) = (short(bytes, 36)?, bytes.get(40)?);
        if flags & 1 != 0 {
            self.part.clear();
        }
        self.part.extend_from_slice(bytes.get(HEAD..HEAD + length)?);
        if flags & 2 != 0 {
            let group = std::mem::take(&mut self.part);
            let mut at = 0;
            while at < group.len() {
                at = self.job(&group, at)?;
            }
        }
        Some((HEAD + length).next_multiple_of(SECTOR))
    }

    /// Answers where the job ends.
    fn job(&mut self, group: &[u8], start: usize) -> Option<usize> {
        let flags = *group.get(start)?;
        let mut at = start + 1;
        if flags & 1 != 0 {
            let voted = *group.get(at + 8)? != 0;
            let vote = NodeId(number(group, at + 9)?);
            self.hard_state = HardState { term: Term(number(group, at)?), vote: voted.then_some(vote) };
            at += 17;
        }
        if flags & 2 != 0 {
            self.now = Ids::new(id(group, at)?);
            at += 16;
        }
        if flags & 4 != 0 {
            let (count, first) = (short(group, at)? as u64, number(group, at + 4)?);
            at += 12;
            self.now.truncate(Index(first - 1));
            for index in first..first + count {
                self.now.push(index, number(group, at)?, index);
                at = entry_end(group, at + 8)?;
            }
        }
        // What was replaced is no longer certain, what replaces it is not yet.
        Arc::make_mut(&mut self.certain).keep_common(&self.now);
        Some(at)
    }

    /// All that was written is synced.
    pub fn synced(&mut self) {
        self.certain_hard_state = self.hard_state;
        if *self.certain != self.now {
            Arc::make_mut(&mut self.certain).clone_from(&self.now);
        }
    }
}

const SECTOR: usize = 512;
/// A record's head comes before its content.
const HEAD: usize = 48;

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4)?.try_into().ok().map(|bytes| u32::from_be_bytes(bytes) as usize)
}

fn id(bytes: &[u8], at: usize) -> Option<EntryId> {
    Some(EntryId::new(number(bytes, at)?, number(bytes, at + 8)?))
}

/// Where an entry ends, from its kind on.
fn entry_end(body: &[u8], at: usize) -> Option<usize> {
    match body.get(at)? {
        0 => Some(at + 1),
        1 => Some(at + 5 + short(body, at + 1)?),
        _ => members_end(body, at + 1),
    }
}

/// Where members end: two lists of voters, then everybody.
fn members_end(body: &[u8], at: usize) -> Option<usize> {
    let at = (0..2).try_fold(at, |at, _| Some(at + 2 + 8 * count(body, at)?))?;
    (0..count(body, at)?).try_fold(at + 2, |at, _| {
        // Id and flag, the name, two lists of URLs.
        let at = text_end(body, at + 9)?;
        (0..2).try_fold(at, |at, _| (0..count(body, at)?).try_fold(at + 2, |at, _| text_end(body, at)))
    })
}

fn text_end(body: &[u8], at: usize) -> Option<usize> {
    Some(at + 2 + count(body, at)?)
}

fn count(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 2)?.try_into().ok().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
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
        const META: &[u8] = &[3];
        if key == META {
            self.now = id(value, 1).unwrap_or(self.now);
        }
    }

    /// All that was written is synced.
    pub fn synced(&mut self) {
        self.certain = self.now;
    }
}
