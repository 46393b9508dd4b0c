//! One process per data directory.

use crate::storage::error::{OpenError, StorageError};
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::Path;

/// The exclusive right to a data directory. The operating system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    // Kept open for its lock; closing the file releases it.
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `dir`, or says who holds it.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StorageError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { dir: dir.to_owned(), holder: holder(&path) });
            }
            Err(TryLockError::Error(error)) => return Err(StorageError::io("lock", &path)(error).into()),
        }
        // Only for the error message: the lock is what counts, not the content.
        let note = format!("process {}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(StorageError::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn holder(path: &Path) -> Option<String> {
    let note = fs::read_to_string(path).ok()?;
    let note = note.trim();
    (!note.is_empty() && note.len() < 64).then(|| note.to_owned())
}
