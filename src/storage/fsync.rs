//! Making files and their names survive a power cut.
//!
//! Data is durable after an fsync of the file; the *name* of the file only after an fsync of the directory.
//! Both are needed, in that order.

use crate::storage::descriptors::opening;
use crate::storage::error::StorageError;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    opening(|| File::open(dir)).and_then(|handle| handle.sync_all()).map_err(StorageError::io("fsync", dir))
}

/// Makes everything below a directory durable: files first, then the directories that contain them, from the
/// inside out. Syncing the parent is up to the caller.
pub(crate) fn sync_tree(dir: &Path) -> Result<(), StorageError> {
    for entry in opening(|| fs::read_dir(dir)).map_err(StorageError::io("list", dir))? {
        let entry = entry.map_err(StorageError::io("list", dir))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(StorageError::io("look at", &path))?;
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            let opened = opening(|| File::open(&path));
            opened.and_then(|file| file.sync_all()).map_err(StorageError::io("fsync", &path))?;
        }
    }
    sync_dir(dir)
}

/// Makes sure that the next reads come from the device (fact 11 in [`storage`](crate::storage)). After a
/// failed fsync, Linux keeps the pages that it could not write and marks them as clean: a restarted process
/// would read them, and promise data that is on no disk. So dirty pages are written first, and then all pages
/// are dropped.
pub(crate) fn drop_cache(file: &File, path: &Path) -> Result<(), StorageError> {
    file.sync_all().map_err(StorageError::io("fsync", path))?;
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(std::io::Error::from)
        .map_err(StorageError::io("drop the cache of", path))
}

/// Replaces a file as a whole: after a crash at any point there is either the
/// old content or the new, and once this returned it is the new.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let temporary = path.with_extension("tmp");
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    // Left over from a crash, perhaps torn: never reused.
    remove_file(&temporary)?;
    let mut file =
        opening(|| File::create_new(&temporary)).map_err(StorageError::io("create", &temporary))?;
    file.write_all(bytes).map_err(StorageError::io("write", &temporary))?;
    file.sync_all().map_err(StorageError::io("fsync", &temporary))?;
    fs::rename(&temporary, path).map_err(StorageError::io("rename to", path))?;
    sync_dir(dir)
}

/// Removes a file, if it exists.
pub(crate) fn remove_file(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory and everything in it, if it exists.
pub(crate) fn remove_dir(path: &Path) -> Result<(), StorageError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
