//! Reading the journal at a start; see [`journal`](super).

use crate::raft::Persist;
use crate::storage::codec::Malformed;
use crate::storage::error::StorageError;
use crate::storage::journal::files::{JournalFiles, SegmentFile};
use crate::storage::journal::floor::Floor;
use crate::storage::journal::group;
use crate::storage::journal::judge::{self, Contents, Image};
use crate::storage::journal::segments::{Segment, Segments};
use crate::storage::journal::settings::JournalSettings;
use crate::storage::journal::writer::Journal;
use crate::types::DirectoryId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A journal that was read and judged. Nothing has been written to it yet.
pub(crate) struct Found {
    files: Arc<dyn JournalFiles>,
    directory: DirectoryId,
    /// Each with its size in bytes.
    segments: BTreeMap<u32, (Box<dyn SegmentFile>, usize)>,
    contents: Contents,
    /// The groups behind the floor that the store does not hold yet, each with the number of its last record.
    pub groups: Vec<(u64, Vec<Persist>)>,
}

/// Reads the journal, or names what is damaged. The store holds everything up to the record `stored`.
pub(crate) fn read(
    files: Arc<dyn JournalFiles>,
    directory: DirectoryId,
    stored: u64,
) -> Result<Found, StorageError> {
    let mut segments = BTreeMap::new();
    let mut images = Vec::new();
    for (expected, number) in (0..).zip(files.list()?) {
        if number != expected {
            return Err(damaged(&*files, format!("segment-{expected}"), "it is missing"));
        }
        let (file, content) = files.open(number)?;
        segments.insert(number, (file, content.len()));
        images.push(Image { number, content });
    }
    let contents = judge::judge(&images, directory, stored, files.noted())
        .map_err(|damage| damaged(&*files, damage.place, damage.reason))?;
    let groups = read_groups(&*files, &contents)?;
    Ok(Found { files, directory, segments, contents, groups })
}

impl Found {
    /// What is not needed any more, whether the store holds it or not.
    pub(crate) fn floor(&self) -> Floor {
        self.contents.floor
    }

    /// The journal, ready for writing. `fresh_secret` is for one that has no secret yet. Everything read is durable when
    /// this returns, and what was torn is gone.
    pub(crate) fn recover(
        self,
        settings: JournalSettings,
        fresh_secret: u64,
    ) -> Result<Journal, StorageError> {
        let Self { files, directory, segments: mut open, contents, groups: _ } = self;
        make_names_durable(&*files, open.last_key_value().map(|(last, _)| *last), &contents.idle)?;
        blot_out(&open, &contents)?;
        let count = u32::try_from(open.len()).expect("segments are few");
        let mut take = |number: u32| {
            let (file, bytes) = open.remove(&number).expect("it was listed");
            Segment { file, bytes }
        };
        let active = contents.end.map(|(number, offset)| (take(number), offset));
        let full = contents.full.iter().map(|(last, number)| (*last, take(*number))).collect();
        let idle = contents.idle.iter().map(|number| take(*number)).collect();
        let floor = contents.floor;
        let segments = Arc::new(Segments::new(files.clone(), settings, idle, full, count, floor));
        segments.release(floor.number);
        Ok(Journal {
            files,
            segments,
            directory,
            secret: contents.secret.unwrap_or(fresh_secret),
            active,
            promised: None,
            generation: contents.generation,
            number: contents.number,
            synced: contents.number,
            chain: contents.chain,
            buffer: Vec::new(),
            group: Vec::new(),
            cut: 0,
        })
    }
}

/// A process writes to a segment only once its name is durable. So the only name in doubt is that of a segment that was
/// added and not used yet: the last one, made just before a crash or a failed sync.
fn make_names_durable(
    files: &dyn JournalFiles,
    last: Option<u32>,
    blank: &[u32],
) -> Result<(), StorageError> {
    if let Some(last) = last.filter(|last| blank.contains(last)) {
        files.rename_anew(last)?;
    }
    files.sync_names()
}

fn read_groups(
    files: &dyn JournalFiles,
    contents: &Contents,
) -> Result<Vec<(u64, Vec<Persist>)>, StorageError> {
    let read = |(last, bytes): &(u64, Bytes)| {
        let jobs = group::decode(bytes.clone()).map_err(|Malformed(reason)| {
            damaged(files, format!("the group that ends with record {last}"), reason)
        })?;
        Ok((*last, jobs))
    };
    contents.groups.iter().map(read).collect()
}

/// Overwrites what was dropped as torn, so that it is never read as part of what will be written there.
fn blot_out(
    open: &BTreeMap<u32, (Box<dyn SegmentFile>, usize)>,
    contents: &Contents,
) -> Result<(), StorageError> {
    for (number, place) in &contents.torn {
        let (file, _) = &open[number];
        tracing::warn!(segment = number, "dropping a write to the journal that a crash interrupted");
        file.write(place.start, &vec![0; place.len()])?;
        file.sync()?;
    }
    Ok(())
}

fn damaged(files: &dyn JournalFiles, place: impl Into<String>, reason: impl Into<String>) -> StorageError {
    StorageError::damaged(files.path(), place, reason)
}
