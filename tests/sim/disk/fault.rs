//! What can be made to go wrong.

use kontiki::storage::LogSettings;
use kontiki::storage::journal::JournalSettings;
use std::fmt;
use std::time::Instant;

/// A database of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The journal: log, term and vote, as they are promised.
    Log,
    /// The log's store, behind the journal.
    Store,
    /// The state, and a state that is being received.
    State,
}

/// Where a bit flips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In what was synced last. In a database, the engine takes it for a torn write and silently drops it.
    End,
    /// Anywhere below: the engine drops all that follows.
    Anywhere,
    /// In the value of a record, and the engine's own checksum does not notice.
    Value,
}

/// Something that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies in the middle of an operation, after this many others. The disk is
    /// [halted](super::SimDisk::is_halted) then, and the world is to call `crash`.
    Crash {
        /// Operations before it.
        after: u32,
    },
    /// A write fails, after this many others.
    WriteError {
        /// Which database's.
        part: Part,
        /// Writes before it.
        after: u32,
    },
    /// A sync fails, after this many others: what it was to write is lost but counts as clean.
    SyncError {
        /// Which database's.
        part: Part,
        /// Syncs before it.
        after: u32,
    },
    /// A read returns a flipped bit, after this many others. The platter is sound. Damage.
    ReadFlip {
        /// Which database's.
        part: Part,
        /// Reads before it.
        after: u32,
    },
    /// A sector of a sync, after this many others, lands in the place of another. Damage.
    Misdirect {
        /// Which database's.
        part: Part,
        /// Syncs before it.
        after: u32,
    },
    /// A bit of the platter flips, now. It shows when the file is read again. Damage.
    Flip {
        /// In which database.
        part: Part,
        /// Where in it.
        place: Place,
    },
    /// A sector of the platter can no longer be read. It shows when the file is read again. Damage.
    Unreadable {
        /// In which database.
        part: Part,
    },
    /// The note beside the log of how far it was durable cannot be read any more. Damage.
    LoseWitness,
    /// The database answers nothing until then; the world asks `stalled_until`.
    Stall {
        /// Which one.
        part: Part,
        /// The end of it.
        until: Instant,
    },
}

impl Fault {
    /// Whether it destroys what was durable, or may seem to: then it must not hit every member.
    pub fn is_damage(self) -> bool {
        matches!(
            self,
            Self::ReadFlip { .. }
                | Self::Misdirect { .. }
                | Self::Flip { .. }
                | Self::Unreadable { .. }
                | Self::LoseWitness
        )
    }
}

/// How a disk behaves when nothing is armed.
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// What is written as a whole: 512 or 4096 bytes; `None`: one of them by the seed.
    pub sector: Option<usize>,
    /// The size in bytes.
    pub capacity: u64,
    /// Whether an open reads the platter and not what the cache still has of it, as the real one does.
    pub open_drops_cache: bool,
    /// A file is rewritten when it is larger than this and half of it is garbage.
    pub rewrite_bytes: usize,
    /// How much of the synced end of the log's store a power cut may take, as with the real engine.
    pub window: usize,
    /// How the log is kept. Small, so that all of it happens often.
    pub log: LogSettings,
}

const WINDOW: usize = 16 << 10;

const LOG: LogSettings = LogSettings {
    journal: JournalSettings { segment_bytes: 128 << 10, segments_min: 2, segments_max: 8 },
    backlog_bytes: 2 << 10,
    sync_bytes: 16 << 10,
    // All of it, so that it can be compared with what was written.
    tail_bytes: usize::MAX,
};

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            sector: None,
            capacity: 1 << 40,
            open_drops_cache: true,
            rewrite_bytes: 256 << 10,
            window: WINDOW,
            log: LOG,
        }
    }
}

/// A place in the order of operations at which an armed fault strikes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Countdown(Option<u32>);

impl Countdown {
    /// How many more operations before it strikes.
    pub fn set(&mut self, after: u32) {
        self.0 = Some(after);
    }

    /// Counts one more operation. Returns whether this is the one.
    pub fn strikes(&mut self) -> bool {
        match &mut self.0 {
            None => false,
            Some(0) => {
                self.0 = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "journal",
            Self::Store => "raft",
            Self::State => "state",
        })
    }
}
