//! Everything a node must not forget, on its disk.
//!
//! # The promise
//!
//! When [`LogStore::write`] or [`Table::sync`](crate::machine::Table::sync) returns, the data is on stable
//! storage: it survives the death of the process at any point and a power cut. A vote is never given twice in
//! a term, and acknowledged data is never lost silently: a damaged directory is refused with the name of what
//! is damaged, since the other members have the data, and a member that starts with less than it promised
//! breaks Raft for all of them. Only `fsync: false` weakens this: then data survives the process, but not a
//! power cut.
//!
//! # The engine
//!
//! sled 0.34.7 is fast enough but does not keep that promise by itself. The known facts, each with its cure
//! (in `sled_db.rs` unless said otherwise):
//!
//! | # | fact | cure |
//! |---|---|---|
//! | 1 | `flush()` is `pwrite` and `sync_file_range`: no fsync | `flush()`, then `fdatasync` on a second handle of the file |
//! | 2 | its background thread only logs a failed fsync | that second handle is open from the start: Linux reports the error to it too |
//! | 3 | a page above a quarter of a segment goes to a file that is never synced | large segments; large records are split ([`log`], `table`); after each sync, `blobs/` is checked to be empty |
//! | 4 | new files' names are not synced | everything is synced after an open, up to the parent directory |
//! | 5 | a crash during open leaves `*.generating`, which every later open fails on | removed before an open |
//! | 6 | damage can make it panic, spin forever, or drop the end of its log silently | a [watchdog](watched), panics caught, checksums of our own; what the log's store has lost, the [`journal`] must still have |
//! | 7 | on a full disk writes fail, but reads return what never reached the disk | the first error is final: reads fail too |
//! | 8 | a write error may leave `flush` waiting forever | the caller of `write` and `sync` has a watchdog: no answer is a failed disk |
//! | 9 | batches take a lock of the whole process | no batches: the order of operations serves instead (see [`log`], and `machine/blocks`) |
//! | 10 | a segment is used again once the *written*, unsynced header of a later one allows it: if that header is lost, what is synced behind the old one is dropped | never as much as a segment unsynced: the log's store is synced every 128 KiB put or removed, the state every 512 KiB; and the [`journal`] keeps what the store did not sync two segments ago, unless it says itself that this is not needed |
//! | 11 | (Linux) pages whose fsync failed count as clean: the next process to open the file reads what was lost | the file is synced and dropped from the page cache before it is opened |
//! | 12 | it panics when it is dropped after a failed fsync | the panic is caught, so that the original error is reported |
//! | 13 | its cache counts what was accessed only after 64 accesses in one of its 256 shards: until then pages stay beyond its capacity, hundreds of MiB of them after one pass over all records | a record that was written or scanned is read again a few times |
//! | 14 | (any program) a name that an fsync of its directory failed to write is seen all the same, and no later fsync writes it: the next process builds upon a file that the next power cut takes | small files are replaced by copies at each start, before anything is built upon them (`fsync.rs`); a segment of the [`journal`] that was never used is renamed; what a creation left is made again |
//! | 15 | it shortens its file only where the end of it is free, and looks at that only when a segment is filled; once shortened, it moves segments without end until it is opened again | a state that takes far more than its records moves to a new file (`vacuum`) |
//!
//! # The directory
//!
//! ```text
//! DIR/identity        whose it is; written first, checked before anything else
//! DIR/lock            one process at a time
//! DIR/peers           the directory that each peer presented first
//! DIR/journal/        the most recent writes to the log, and how far they were durable
//! DIR/raft/           sled: log, term and vote
//! DIR/state-000001/   sled: the state, and `owner`; the next snapshot goes to state-000002
//! DIR/CURRENT         which state is in use
//! ```
//!
//! # Crashes
//!
//! | a crash while | leaves | which the next open |
//! |---|---|---|
//! | the directory is made | an identity that is not `complete` | creates the rest again: nothing was promised yet |
//! | a small file is replaced | `*.tmp` beside the old one | ignores and later overwrites it |
//! | the log is written | some sectors of the write | drops it as torn (see [`journal`]): it was never acknowledged |
//! | the log's store is filled | a prefix of the operations | reads the rest from the journal, whose segment was not reused yet (see [`log`]) |
//! | the log is compacted before it is stored | a journal that says so, or still holds it | begins where it says, or reads it once more |
//! | the state is written | a prefix of its operations | removes what the meta record does not vouch for, and applies the rest of the log again |
//! | garbage is removed from the state | a meta record that names it, and some of it | removes it again |
//! | the state moves to a smaller file | a directory that `CURRENT` does not name: the new one, or the old one | removes it |
//! | a snapshot comes in | a directory that `CURRENT` does not name | removes it |
//! | a snapshot is activated | `CURRENT` old or new | opens that one; if it is a snapshot ahead of the log, the log is reset after it. A state ahead of the log that did not come from a snapshot: the log has lost its end, and the node does not start |
//! | an old state is removed | part of a directory that `CURRENT` does not name | removes it |
//!
//! # Interfaces
//!
//! The rest of the program knows only [`LogStore`], [`LogStorer`] and [`LogReader`] (a log, for the three threads that
//! write, store and read it) and [`StateStore`] (whose state is a [`machine::Table`](crate::machine::Table)). Below, [`RecordStore`](log::RecordStore) and
//! [`JournalFiles`](journal::JournalFiles) allow another engine and another file system under the log's own
//! format, which the simulator makes use of. All calls block: they belong on threads of their own.

mod codec;
mod current;
mod descriptors;
mod directory;
mod error;
mod fsync;
mod generation;
mod home;
mod identity;
pub mod journal;
mod lock;
pub mod log;
mod options;
mod peers;
mod sealed_file;
mod sled_db;
mod sled_states;
pub mod snapshot;
mod state_file;
mod state_store;
mod table;
mod vacuum;
mod watchdog;

pub use codec::{Malformed, decode_members, encode_members};
pub use error::{OpenError, StageError, StorageError};
pub use identity::{FORMAT_VERSION, Identity, IdentityFile};
pub use log::{LogReader, LogSettings, LogStore, LogStorer, RestoredLog};
pub use options::{Options, VacuumSettings};
pub use peers::{PeerDirectories, Seen};
pub use sled_states::SledStates;
pub use snapshot::{SnapshotFileError, SnapshotHeader};
pub use state_store::{StagedState, StateStore, VerifiedState};
pub use watchdog::{Unfinished, watched};

use crate::storage::current::{CurrentState, StateSettings};
use crate::storage::directory::DataDirectory;
use crate::storage::journal::DiskFiles;
use crate::storage::log::{OpenLog, SledRecords};
use crate::storage::sled_db::SledSettings;
use std::sync::Arc;

/// The page cache of the log's store: it is written in order, and read at the start and for followers that lag.
const LOG_CACHE_BYTES: u64 = 2 << 20;

pub struct Storage {
    pub identity: IdentityFile,
    /// The directories that the peers presented.
    pub peers: PeerDirectories,
    /// The log, for the thread that writes it.
    pub log: Box<dyn LogStore>,
    /// For the thread that moves the log into the store.
    pub storer: Box<dyn LogStorer>,
    pub restored: RestoredLog,
    pub states: Arc<dyn StateStore>,
}

/// Opens or creates a data directory. Either all of it is sound and durable, or this fails. Blocks, for at
/// most `open_timeout`.
pub fn open(options: &Options) -> Result<Storage, OpenError> {
    let (dir, timeout) = (options.dir.clone(), options.open_timeout);
    let options = options.clone();
    match watched("open-storage", timeout, move || open_unwatched(&options)) {
        Ok(result) => result,
        Err(Unfinished::Hung(timeout)) => Err(OpenError::Hung { dir, timeout }),
        Err(Unfinished::Panicked(reason)) => Err(OpenError::Panicked { dir, reason }),
    }
}

fn open_unwatched(options: &Options) -> Result<Storage, OpenError> {
    let DataDirectory { layout, lock, mut identity } = DataDirectory::open(options)?;
    let &Identity { cluster, directory, .. } = identity.identity();
    let lock = Arc::new(lock);
    let log = SledSettings {
        dir: layout.raft(),
        segment_bytes: log::SEGMENT_BYTES,
        cache_bytes: LOG_CACHE_BYTES,
        collect_every: None,
        fsync: options.fsync,
    };
    let state = StateSettings {
        cluster,
        directory,
        cache_bytes: options.cache_bytes,
        fsync: options.fsync,
        vacuum: options.vacuum,
    };
    let records = SledRecords::open(log, lock.clone())?;
    let files = Arc::new(DiskFiles::open(&layout.journal(), options.fsync, lock.clone())?);
    if !identity.is_complete() {
        log::create(&*files, options.log.journal, &records, directory)?;
        CurrentState::create(&layout, state)?;
        PeerDirectories::create(&layout.peers(), directory)?;
        identity.mark_complete()?;
    }
    let peers = PeerDirectories::load(&layout.peers(), directory)?;
    let OpenLog { log, storer, restored } =
        log::open(files, records, directory, options.log, fastrand::u64(1..))?;
    let states = SledStates::open(layout, state, lock)?;
    Ok(Storage { identity, peers, log, storer, restored, states: Arc::new(states) })
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("identity", &self.identity).finish_non_exhaustive()
    }
}
