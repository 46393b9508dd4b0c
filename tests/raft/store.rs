//! The part of a server's log that can be read: a copy that lags behind what is durable, as far as the test wants.

use kontiki::raft::{Entry, LogRead, LogSlice, Mark, Persist};
use kontiki::types::{EntryId, Index};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// A log, as it lies on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Image {
    pub base: EntryId,
    pub entries: Vec<Entry>,
}

impl Image {
    pub fn write(&mut self, persist: &Persist) {
        if let Some(base) = persist.reset {
            self.base = base;
            self.entries.clear();
        }
        let Some(first) = persist.entries.first() else { return };
        let keep = first.id.index.0.checked_sub(self.base.index.0 + 1).expect("behind the base");
        let keep = usize::try_from(keep).expect("small");
        assert!(keep <= self.entries.len(), "a write leaves a gap in the log on disk");
        self.entries.truncate(keep);
        self.entries.extend_from_slice(&persist.entries);
    }

    /// Nothing happens if it was replaced by a snapshot since.
    pub fn forget(&mut self, through: Index) {
        if let Some(place) = self.entries.iter().position(|entry| entry.id.index == through) {
            self.base = self.entries[place].id;
            self.entries.drain(..=place);
        }
    }

    pub fn last(&self) -> EntryId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    pub fn holds(&self, id: EntryId) -> bool {
        id == self.base || self.entries.iter().any(|entry| entry.id == id)
    }

    pub fn read(&self, read: &LogRead) -> Option<LogSlice> {
        let place = self.entries.iter().position(|entry| entry.id.index == read.from)?;
        let prev = place.checked_sub(1).map_or(self.base, |before| self.entries[before].id);
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.size();
            bytes <= read.bytes_max || bytes == entry.size()
        };
        let entries = self.entries[place..].iter().take_while(fits).cloned().collect();
        Some(LogSlice { prev, entries })
    }
}

/// One thing that a disk does, in order.
#[derive(Clone, Debug)]
pub enum Job {
    Write(Persist),
    Forget(Index),
    /// After a crash: all that is durable.
    Replay(Image),
}

impl Hash for Job {
    fn hash<H: Hasher>(&self, to: &mut H) {
        std::mem::discriminant(self).hash(to);
        match self {
            // Its mark follows from its place.
            Self::Write(Persist { mark: _, hard_state, reset, entries }) => {
                (hard_state, reset, entries).hash(to)
            }
            Self::Forget(through) => through.hash(to),
            Self::Replay(image) => image.hash(to),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, Hash)]
pub struct Store {
    pub log: Image,
    /// Whether it waits until the test lets it go on.
    pub held: bool,
    backlog: VecDeque<Job>,
}

impl Store {
    pub fn new(log: Image) -> Self {
        Self { log, ..Self::default() }
    }

    pub fn push(&mut self, job: Job) {
        self.backlog.push_back(job);
    }

    pub fn is_idle(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Takes over the oldest job. Answers what it may tell the node then.
    pub fn take_over_one(&mut self) -> Option<(Mark, Index)> {
        match self.backlog.pop_front()? {
            Job::Write(persist) => {
                self.log.write(&persist);
                Some((persist.mark, self.log.last().index))
            }
            Job::Forget(through) => {
                self.log.forget(through);
                None
            }
            Job::Replay(log) => {
                self.log = log;
                Some((Mark::RESTORED, self.log.last().index))
            }
        }
    }

    /// The process has ended. What is durable will be taken over all the same.
    pub fn crash(&mut self, durable: &Image) {
        if !self.backlog.is_empty() {
            self.backlog = VecDeque::from([Job::Replay(durable.clone())]);
        }
    }
}
