//! A disk whose power can be cut: a FUSE file system in memory.
//!
//! It keeps durable and merely written data apart, and on command forgets the latter as a power cut would.
//! All of it is in memory: nothing of it touches the disk below.
//!
//! # The model
//!
//! *Data.* A file is its durable content and the list of writes and changes of length since its last fsync.
//! `fsync` and `fdatasync` do the same: both make data and length durable, neither makes a *name* durable.
//!
//! *Names.* A directory is its durable entries and the list of changes since its last fsync. A change is atomic
//! (a rename shows the old or the new file, never neither), and of a directory's changes a prefix survives.
//! Directories lose independently of each other, and of their files' data: a name may survive whose file is
//! empty, and data may survive whose name is gone. Renames between directories are refused (`EXDEV`).
//!
//! *A cut* is one of [`Loss`]. After it everything is refused with `EIO` until [`Disk::revive`], and handles
//! opened before it stay dead forever.
//!
//! *A failed fsync* ([`Disk::fail_next_fsync`]) does what Linux does: it says `EIO` once to every handle that
//! is open, the data is still read back, counts as clean, and is gone at the next cut; the next fsync succeeds.
//! That of a *directory* ([`Disk::fail_directory_fsync_after`]) does the same to names: the changes since its last
//! fsync are seen, no later fsync writes them, and the next cut takes them back. Only another change of the same
//! name makes it durable. (Worse than real disks, which write whole blocks of names.)
//!
//! No page cache of the kernel is in between (`FOPEN_DIRECT_IO`, no attribute or name is cached), so the order of
//! operations is the order of the system calls. What survives is drawn from a seed: equal operations, equal cuts.
//!
//! *With the cache* ([`Disk::mount_cached`]) the kernel keeps what was written (and passes it on at once),
//! across opens, as it does for any file system; partly written pages, which it keeps of others but not of
//! FUSE, are read before an fsync fails. After a failed fsync the disk itself no longer has the data: it is
//! read for as long as the kernel keeps its clean pages, and a program that has them dropped sees what is true.
//!
//! Milder than POSIX allows in two points: a change of a directory is never torn, and a directory's changes
//! survive in order.

mod content;
mod fuse;
mod names;
mod state;
mod tests;

use state::State;
pub use state::{Counters, Loss};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// A mounted disk. Dropping it unmounts it.
pub struct Disk {
    shared: Arc<Shared>,
    session: Option<fuser::BackgroundSession>,
    mount: TempDir,
}

/// What the threads of the file system and those of the test share.
struct Shared {
    mount: PathBuf,
    state: Mutex<State>,
    /// Told when fsyncs hang no longer, and when a cut has come.
    changed: std::sync::Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether disks can be mounted here. Where everything must be tested (`KONTIKI_TEST_ALL`) they have to be.
pub fn available() -> bool {
    let missing = if !Path::new("/dev/fuse").exists() {
        "there is no /dev/fuse"
    } else if !rustix::process::geteuid().is_root() {
        "only root may mount"
    } else {
        return true;
    };
    assert!(
        std::env::var_os("KONTIKI_TEST_ALL").is_none(),
        "a disk of the tests cannot be mounted: {missing}"
    );
    eprintln!("skipped: {missing}");
    false
}

impl Disk {
    /// Mounts an empty disk at a new place. What its cuts take is drawn from `seed`.
    pub fn mount(seed: u64) -> io::Result<Self> {
        Self::mount_with(State::new(seed))
    }

    /// The same below the kernel's page cache.
    pub fn mount_cached(seed: u64) -> io::Result<Self> {
        let mut state = State::new(seed);
        state.cached = true;
        Self::mount_with(state)
    }

    fn mount_with(state: State) -> io::Result<Self> {
        let mount = tempfile::Builder::new().prefix("kontiki-disk-").tempdir()?;
        let shared = Arc::new(Shared {
            mount: mount.path().to_owned(),
            state: Mutex::new(state),
            changed: std::sync::Condvar::new(),
        });
        let mut config = fuser::Config::default();
        config.mount_options =
            vec![fuser::MountOption::FSName("kontiki-disk".into()), fuser::MountOption::NoAtime];
        // Several, so that one slow or hanging call does not stop the others.
        config.n_threads = Some(4);
        let session = fuser::spawn_mount(fuse::Mounted::new(shared.clone()), mount.path(), &config)?;
        Ok(Self { shared, session: Some(session), mount })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.mount.path()
    }

    /// A path on it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Cuts the power now.
    pub fn cut(&self, loss: Loss) {
        self.shared.state().cut(loss);
        self.shared.changed.notify_all();
    }

    /// Cuts the power at the `operations`-th change or sync from now on, before it is done in full.
    pub fn cut_after(&self, operations: u64, loss: Loss) {
        self.shared.state().cut_after(operations, loss);
    }

    /// Whether the power is off.
    pub fn is_cut(&self) -> bool {
        self.shared.state().is_cut()
    }

    /// Waits until the power is off, at most this long; false if it is still on.
    pub fn wait_for_cut(&self, patience: Duration) -> bool {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, patience, |state| !state.is_cut());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_cut()
    }

    /// Turns the power on again: what survived the cut is what there is. Faults that were asked for are over.
    pub fn revive(&self) {
        self.shared.state().revive();
        self.shared.changed.notify_all();
    }

    /// The next fsync of a file fails, and what it should have synced is lost.
    pub fn fail_next_fsync(&self) {
        self.fail_fsync_after(1);
    }

    /// The same for the `fsyncs`th fsync from now on.
    pub fn fail_fsync_after(&self, fsyncs: u64) {
        self.shared.state().faults.fail_fsync = Some(fsyncs.max(1));
    }

    /// The `fsyncs`th fsync of a directory from now on fails, and the changes of names that it should have made durable
    /// are lost.
    pub fn fail_directory_fsync_after(&self, fsyncs: u64) {
        self.shared.state().faults.fail_directory_fsync = Some(fsyncs.max(1));
    }

    /// Leaves this many bytes free; more are refused with `ENOSPC`. `None`: there is room again.
    pub fn leave_free(&self, bytes: Option<u64>) {
        let mut state = self.shared.state();
        state.faults.capacity = bytes.map(|bytes| state.used_bytes() + bytes);
    }

    /// The same without saying so to those who ask, as quotas and thin volumes do.
    pub fn leave_free_secretly(&self, bytes: u64) {
        self.leave_free(Some(bytes));
        self.shared.state().faults.hidden = true;
    }

    /// Makes every write and every sync take this much longer.
    pub fn slow(&self, delay: Duration) {
        self.shared.state().faults.delay = delay;
    }

    /// Lets every fsync hang, until this is called with `false` or the power is cut.
    pub fn hang_fsyncs(&self, hang: bool) {
        self.shared.state().faults.hang_fsyncs = hang;
        self.shared.changed.notify_all();
    }

    /// Takes back all faults that were asked for.
    pub fn heal(&self) {
        self.shared.state().faults = state::Faults::default();
        self.shared.changed.notify_all();
    }

    /// Resets the counters.
    pub fn reset_counters(&self) {
        self.shared.state().counters = Counters::default();
    }

    /// The counters so far.
    pub fn counters(&self) -> Counters {
        self.shared.state().counters
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.hang_fsyncs(false);
        // Lazily, since a process that was just killed may still hold a file for a moment.
        let done = Command::new("umount").arg("--lazy").arg(self.path()).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
        drop(self.session.take());
    }
}
