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
use crate::types::ClusterId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
pub struct Recovered {
    /// The journal, ready for writing.
    pub journal: Journal,
    /// What is not needed any more, whether the store holds it or not.
    pub(crate) floor: Floor,
    /// The groups after that which the store does not hold yet, each with the number of its last record.
    pub groups: Vec<(u64, Vec<Persist>)>,
}

/// Reads the journal. The store holds everything up to the record `stored`; `fresh_secret` is for a journal
/// that has no secret yet. Everything read is durable when this returns.
pub fn recover(
    files: Arc<dyn JournalFiles>,
    settings: JournalSettings,
    cluster: ClusterId,
    fresh_secret: u64,
    stored: u64,
) -> Result<Recovered, StorageError> {
    let mut open = BTreeMap::new();
    let mut images = Vec::new();
    for (expected, number) in (0..).zip(files.list()?) {
        if number != expected {
            return Err(damaged(&*files, format!("segment-{expected}"), "it is missing"));
        }
        let (file, content) = files.open(number)?;
        open.insert(number, (file, content.len()));
        images.push(Image { number, content });
    }
    let contents = judge::judge(&images, cluster, stored, files.noted())
        .map_err(|damage| damaged(&*files, damage.place, damage.reason))?;
    make_names_durable(&*files, images.last().map(|image| image.number), &contents.idle)?;
    let groups = read_groups(&*files, &contents)?;
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
    let journal = Journal {
        files,
        segments,
        cluster,
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
    };
    Ok(Recovered { journal, floor, groups })
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
