//! The data directory as a whole: what is where, and whose it is.

use crate::storage::error::{OpenError, StorageError};
use crate::storage::fsync;
use crate::storage::identity::IdentityFile;
use crate::storage::lock::DirectoryLock;
use crate::storage::options::Options;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The paths in a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whose directory it is.
    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// What the peers showed.
    pub(crate) fn peers(&self) -> PathBuf {
        self.root.join("peers")
    }

    /// The log and the hard state, except the most recent writes.
    pub(crate) fn raft(&self) -> PathBuf {
        self.root.join("raft")
    }

    /// The most recent writes to the log.
    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The file that names the state in use.
    pub(crate) fn current(&self) -> PathBuf {
        self.root.join("CURRENT")
    }

    pub(crate) fn state(&self, generation: u64) -> PathBuf {
        self.root.join(format!("state-{generation:06}"))
    }

    /// Whose state it is.
    pub(crate) fn owner(&self, generation: u64) -> PathBuf {
        self.state(generation).join("owner")
    }

    /// The generations that exist, complete or not.
    pub(crate) fn states(&self) -> Result<Vec<u64>, StorageError> {
        let names = names(&self.root)?;
        Ok(names.iter().filter_map(|name| name.strip_prefix("state-")?.parse().ok()).collect())
    }
}

/// A directory that belongs to this node and is locked.
pub(crate) struct DataDirectory {
    pub layout: Layout,
    pub lock: DirectoryLock,
    pub identity: IdentityFile,
}

impl DataDirectory {
    /// Creates or checks the directory.
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        let layout = Layout::new(&options.dir);
        create(layout.root())?;
        refuse_foreign(&layout)?;
        // Before anything in it is changed: what is refused stays as it is.
        if let Some(identity) = IdentityFile::load(&layout.identity())? {
            identity.check(options)?;
        }
        let lock = DirectoryLock::take(layout.root())?;
        protect(layout.root())?;
        let identity = match IdentityFile::load(&layout.identity())? {
            Some(mut identity) => {
                identity.check(options)?;
                // Before anything is built on it: without it, what is in the directory would belong to nobody.
                fsync::renew_file(&layout.identity())?;
                identity.found_unless_introduced(options)?;
                identity
            }
            None => IdentityFile::create(&layout.identity(), options)?,
        };
        if identity.is_complete() {
            require_parts(&layout)?;
        } else {
            // After a crash during creation, or with mistyped founders: nothing in the directory was ever promised to
            // anyone.
            remove_parts(&layout)?;
        }
        Ok(Self { layout, lock, identity })
    }
}

fn create(root: &Path) -> Result<(), OpenError> {
    // A relative path has no parent to sync.
    let root = &std::path::absolute(root).map_err(StorageError::io("resolve", root))?;
    let there_before = root.ancestors().skip(1).find(|parent| parent.is_dir());
    let new: Vec<&Path> = root.ancestors().take_while(|dir| !dir.is_dir()).collect();
    fsync::create_private_dir(root)?;
    let synced = sync_ancestors(root, there_before);
    if synced.is_err() {
        // So that the next start makes the names anew (fact 14). An error here would hide the first one.
        let _ = new.iter().try_for_each(fs::remove_dir);
    }
    Ok(synced?)
}

/// Syncs the new names, up to the first directory that already existed. Also if nothing is new: an earlier start may
/// have died after the creation.
fn sync_ancestors(root: &Path, there_before: Option<&Path>) -> Result<(), StorageError> {
    for parent in root.ancestors().skip(1) {
        fsync::sync_dir(parent)?;
        if Some(parent) == there_before {
            break;
        }
    }
    Ok(())
}

/// Only the owner may come in. A directory that belongs to somebody else, as the root of a volume does, stays as it is:
/// what Kontiki makes in it is its own.
fn protect(root: &Path) -> Result<(), StorageError> {
    match fs::set_permissions(root, fs::Permissions::from_mode(0o700)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let about = fs::metadata(root).map_err(StorageError::io("read the permissions of", root))?;
            let (mode, owner) = (about.permissions().mode() & 0o7777, about.uid());
            if mode & 0o002 == 0 {
                tracing::info!("{} belongs to user {owner} and keeps its mode {mode:o}", root.display());
            } else {
                tracing::warn!(
                    "{} belongs to user {owner}, and its mode {mode:o} lets every user of this machine remove what is in \
                     it; give --data-dir a directory inside of it",
                    root.display()
                );
            }
            Ok(())
        }
        outcome => outcome.map_err(StorageError::io("protect", root)),
    }
}

/// Without an identity there may only be what a crash leaves before the identity is written. (`lost+found`
/// exists on a fresh ext4 volume.)
fn refuse_foreign(layout: &Layout) -> Result<(), OpenError> {
    if layout.identity().exists() {
        return Ok(());
    }
    let harmless = ["lock", "identity.tmp", "lost+found"];
    match names(layout.root())?.into_iter().find(|name| !harmless.contains(&name.as_str())) {
        Some(found) => Err(OpenError::NotOurs { dir: layout.root().to_owned(), found }),
        None => Ok(()),
    }
}

fn require_parts(layout: &Layout) -> Result<(), OpenError> {
    for path in [layout.journal(), layout.raft().join("db"), layout.current(), layout.peers()] {
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
    }
    Ok(())
}

fn remove_parts(layout: &Layout) -> Result<(), StorageError> {
    fsync::remove_file(&layout.current())?;
    fsync::remove_dir(&layout.journal())?;
    fsync::remove_dir(&layout.raft())?;
    for generation in layout.states()? {
        fsync::remove_dir(&layout.state(generation))?;
    }
    fsync::sync_dir(layout.root())
}

fn names(dir: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(StorageError::io("list", dir))? {
        let entry = entry.map_err(StorageError::io("list", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
