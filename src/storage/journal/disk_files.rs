//! The journal's directory on a real disk.

use crate::storage::descriptors::opening;
use crate::storage::error::StorageError;
use crate::storage::fsync;
use crate::storage::journal::files::{JournalFiles, SegmentFile};
use crate::storage::journal::witness::Witness;
use crate::storage::lock::DirectoryLock;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DRAFT: &str = "segment.tmp";

#[derive(Debug)]
pub struct DiskFiles {
    dir: PathBuf,
    /// The witness as read when the directory was opened.
    noted: u64,
    /// `None` without fsync: then there is nothing to vouch for.
    witness: Option<Witness>,
    _lock: Arc<DirectoryLock>,
}

impl DiskFiles {
    /// Opens or creates the directory.
    pub(crate) fn open(dir: &Path, is_synced: bool, lock: Arc<DirectoryLock>) -> Result<Self, StorageError> {
        fs::create_dir_all(dir).map_err(StorageError::io("create", dir))?;
        fsync::sync_dir(dir)?;
        fsync::sync_dir(dir.parent().unwrap_or_else(|| Path::new(".")))?;
        let path = dir.join("witness");
        let noted = Witness::read(&path);
        let witness = if is_synced { Some(Witness::open(&path)?) } else { None };
        Ok(Self { dir: dir.to_owned(), noted, witness, _lock: lock })
    }

    fn segment(&self, number: u32) -> PathBuf {
        self.dir.join(format!("segment-{number}"))
    }
}

impl JournalFiles for DiskFiles {
    fn list(&self) -> Result<Vec<u32>, StorageError> {
        let mut numbers = Vec::new();
        for entry in opening(|| fs::read_dir(&self.dir)).map_err(StorageError::io("list", &self.dir))? {
            let name = entry.map_err(StorageError::io("list", &self.dir))?.file_name();
            let number: Option<u32> =
                name.to_str().and_then(|name| name.strip_prefix("segment-")?.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Zeros are written, not merely reserved: a later write into existing blocks changes only data and no
    /// metadata, so that its fdatasync does not wait for the file system's journal.
    fn draft(&self, bytes: usize) -> Result<(), StorageError> {
        let path = self.dir.join(DRAFT);
        fsync::remove_file(&path)?;
        let mut file = opening(|| File::create_new(&path)).map_err(StorageError::io("create", &path))?;
        let zeros = vec![0; bytes.min(1 << 20)];
        let mut left = bytes;
        while left > 0 {
            let piece = &zeros[..left.min(zeros.len())];
            file.write_all(piece).map_err(StorageError::io("write", &path))?;
            left -= piece.len();
        }
        file.sync_all().map_err(StorageError::io("fsync", &path))
    }

    fn publish(&self, number: u32) -> Result<(), StorageError> {
        let path = self.segment(number);
        fs::rename(self.dir.join(DRAFT), &path).map_err(StorageError::io("rename to", &path))
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        fsync::sync_dir(&self.dir)
    }

    fn discard_draft(&self) {
        // The next draft replaces it in any case.
        let _ = fs::remove_file(self.dir.join(DRAFT));
    }

    fn open(&self, number: u32) -> Result<(Box<dyn SegmentFile>, Vec<u8>), StorageError> {
        let path = self.segment(number);
        let file = opening(|| File::options().read(true).write(true).open(&path))
            .map_err(StorageError::io("open", &path))?;
        fsync::drop_cache(&file, &path)?;
        let mut content = Vec::new();
        (&file).read_to_end(&mut content).map_err(StorageError::io("read", &path))?;
        Ok((Box::new(DiskSegment { file, path, is_synced: self.witness.is_some() }), content))
    }

    fn note(&self, number: u64) -> Result<(), StorageError> {
        self.witness.as_ref().map_or(Ok(()), |witness| witness.note(number))
    }

    fn noted(&self) -> u64 {
        self.noted
    }

    fn path(&self) -> &Path {
        &self.dir
    }
}

#[derive(Debug)]
struct DiskSegment {
    file: File,
    path: PathBuf,
    is_synced: bool,
}

impl SegmentFile for DiskSegment {
    fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all_at(bytes, offset as u64).map_err(StorageError::io("write", &self.path))
    }

    fn sync(&self) -> Result<(), StorageError> {
        if !self.is_synced {
            return Ok(());
        }
        self.file.sync_data().map_err(StorageError::io("fdatasync", &self.path))
    }
}
