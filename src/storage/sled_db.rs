//! One sled database, with what sled 0.34.7 lacks for durability. The facts are listed in
//! [`storage`](crate::storage); each cure names its fact.

use crate::storage::descriptors::{is_lack, opening};
use crate::storage::error::StorageError;
use crate::storage::fsync;
use crate::storage::watchdog::caught;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Fact 13: as often a record is read again once it was written, so that the cache counts its page about as soon as the
/// next page of the same shard comes. Some microseconds for a record of 4 KiB.
const READS_PER_WRITE: usize = 3;

/// How a database is opened.
#[derive(Clone, Debug)]
pub(crate) struct SledSettings {
    pub dir: PathBuf,
    /// The size of sled's segments, at most 16 MiB and fixed when the database is created.
    ///
    /// Fact 3: a page larger than a quarter of it leaves the log for a file that is never synced. A leaf page
    /// holds up to 16 records, and briefly up to 21 (17 before it splits, 3 of a merged neighbor, one more);
    /// an index page up to 321 keys (257, 63, 1). The users' limits on keys and values follow from that.
    pub segment_bytes: usize,
    pub cache_bytes: u64,
    /// How often sled's own thread writes back and, above all, moves live pages
    /// out of half-dead segments so that these can be used again. `None`: never.
    pub collect_every: Option<Duration>,
    /// Whether [`SledDb::make_durable`] waits for the device.
    pub fsync: bool,
}

/// An open database. After the first error it only repeats that error.
pub(crate) struct SledDb {
    db: Engine,
    /// A second handle of the file that holds the log, open for as long as the
    /// database is: Linux reports a failed write-back once to *each* handle
    /// that was open then, so that sled's background thread, which only logs
    /// such an error (fact 2), cannot swallow it.
    log_file: File,
    settings: SledSettings,
    blobs: PathBuf,
    /// Its size, when that could last be read.
    measured: AtomicU64,
    failed: OnceLock<StorageError>,
}

impl SledDb {
    /// Opens or creates the database and makes its files' existence durable.
    pub(crate) fn open(settings: SledSettings) -> Result<Self, StorageError> {
        let dir = settings.dir.clone();
        fsync::create_private_dir(&dir)?;
        remove_unfinished_snapshots(&dir)?;
        drop_cache(&dir.join("db"))?;
        let db = open_unlocked(&settings)?;
        let log_path = dir.join("db");
        let log_file = File::options()
            .read(true)
            .write(true)
            .open(&log_path)
            .map_err(StorageError::io("open", &log_path))?;
        let this = Self {
            db: Engine(Some(db)),
            log_file,
            blobs: dir.join("blobs"),
            settings,
            measured: AtomicU64::new(0),
            failed: OnceLock::new(),
        };
        this.run("flush", |db| db.flush())?;
        // Fact 4: sled syncs neither its small files nor any directory.
        fsync::sync_tree(&dir)?;
        fsync::sync_dir(dir.parent().unwrap_or_else(|| Path::new(".")))?;
        Ok(this)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.settings.dir
    }

    /// Runs an operation of sled. Its error, or its panic (fact 6), is final.
    pub(crate) fn run<T>(
        &self,
        action: &'static str,
        operation: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, StorageError> {
        self.check()?;
        let reason = match caught(|| operation(self.db.get())) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("it panicked: {panic}"),
        };
        Err(self.fail(StorageError::Engine { action, path: self.dir().to_owned(), reason }))
    }

    /// Has the cache count the page of a record that was just written (fact 13).
    pub(crate) fn count_written(&self, key: &[u8]) -> Result<(), StorageError> {
        self.run("read", |db| (0..READS_PER_WRITE).try_for_each(|_| db.get(key).map(drop)))
    }

    /// Has the cache count the page of a record that was just scanned. Once is enough: all of its records come.
    pub(crate) fn count_scanned(&self, key: &[u8]) -> Result<(), StorageError> {
        self.run("read", |db| db.get(key).map(drop))
    }

    /// Returns when everything written before the call is on stable storage.
    pub(crate) fn make_durable(&self) -> Result<(), StorageError> {
        // Fact 1: flush() hands the data to the drive, but does not fsync.
        self.run("flush", |db| db.flush())?;
        if self.settings.fsync {
            self.log_file
                .sync_data()
                .map_err(|error| self.fail(StorageError::io("fdatasync", &self.dir().join("db"))(error)))?;
        }
        self.check_no_blobs()
    }

    pub(crate) fn size_on_disk(&self) -> Result<u64, StorageError> {
        // It lists a directory. Its size is not worth a node: without a descriptor the last one has to do.
        let measured = self.run("measure itself", |db| match db.size_on_disk() {
            Err(sled::Error::Io(error)) if is_lack(&error) => Ok(None),
            size => size.map(Some),
        })?;
        if let Some(size) = measured {
            self.measured.store(size, Ordering::Relaxed);
        }
        Ok(self.measured.load(Ordering::Relaxed))
    }

    /// Marks the database as failed; the first reason stays.
    pub(crate) fn fail(&self, error: StorageError) -> StorageError {
        self.failed.get_or_init(|| error).clone()
    }

    /// Fails with the first error, if there was one.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Fact 3: if there were a blob, part of what was just reported as durable would not be.
    fn check_no_blobs(&self) -> Result<(), StorageError> {
        let mut blobs = opening(|| fs::read_dir(&self.blobs))
            .map_err(|error| self.fail(StorageError::io("list", &self.blobs)(error)))?;
        match blobs.next() {
            None => Ok(()),
            Some(_) => Err(self.fail(StorageError::Engine {
                action: "keep a page inside its log",
                path: self.dir().to_owned(),
                reason: "a page grew past a quarter of a segment and went to a file that is not synced; \
                         this is a bug in Kontiki, please report it"
                    .to_owned(),
            })),
        }
    }
}

impl std::fmt::Debug for SledDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledDb")
            .field("dir", &self.dir())
            .field("failed", &self.failed.get())
            .finish_non_exhaustive()
    }
}

/// The engine itself. Fact 12: it panics when it is dropped after an fsync failed; the original error was
/// reported before, and must not be hidden by it.
struct Engine(Option<sled::Db>);

impl Engine {
    fn get(&self) -> &sled::Db {
        self.0.as_ref().expect("it is there until the drop")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let db = self.0.take();
        if let Err(panic) = caught(|| drop(db)) {
            tracing::warn!(%panic, "the engine could not be closed in order");
        }
    }
}

/// Fact 5: a crash while sled writes its start-up snapshot leaves a file that every later open takes for
/// damage. The older, complete one is still there.
fn remove_unfinished_snapshots(dir: &Path) -> Result<(), StorageError> {
    for entry in opening(|| fs::read_dir(dir)).map_err(StorageError::io("list", dir))? {
        let path = entry.map_err(StorageError::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            tracing::info!(path = %path.display(), "removing an unfinished start-up snapshot of the engine");
            fsync::remove_file(&path)?;
        }
    }
    fsync::sync_dir(dir)
}

/// Fact 11. (This also ensures that a start-up snapshot of the engine is never durable before the log that it
/// was made from.)
fn drop_cache(path: &Path) -> Result<(), StorageError> {
    match opening(|| File::open(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        opened => fsync::drop_cache(&opened.map_err(StorageError::io("open", path))?, path),
    }
}

/// A thread of sled's pool releases the file lock a moment after the last handle is gone. Only this process
/// can hold it, since it holds the directory's lock; so the lock will be released, and this waits for it.
fn open_unlocked(settings: &SledSettings) -> Result<sled::Db, StorageError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let started = Instant::now();
    loop {
        let config = sled::Config::new()
            .path(&settings.dir)
            .segment_size(settings.segment_bytes)
            .cache_capacity(settings.cache_bytes.max(1 << 20))
            .flush_every_ms(
                settings.collect_every.map(|every| every.as_millis().try_into().unwrap_or(u64::MAX)),
            );
        let reason = match caught(|| config.open()) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("it panicked: {panic}"),
        };
        if !reason.contains("could not acquire lock") || started.elapsed() > PATIENCE {
            return Err(StorageError::Engine { action: "open", path: settings.dir.clone(), reason });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
