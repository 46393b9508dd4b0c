//! Reading the journal at a start, and telling what a crash leaves from what damage leaves; see [`journal`](super).

use crate::raft::Persist;
use crate::storage::codec::Malformed;
use crate::storage::error::StorageError;
use crate::storage::journal::files::{JournalFiles, SegmentFile};
use crate::storage::journal::group;
use crate::storage::journal::judge::{self, Image, Verdict};
use crate::storage::journal::segments::{Segment, Segments};
use crate::storage::journal::settings::JournalSettings;
use crate::storage::journal::writer::Journal;
use crate::types::ClusterId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A journal that was read.
#[derive(Debug)]
pub struct Recovered {
    /// For going on.
    pub journal: Journal,
    /// What the store does not hold yet: groups, each with the number of its last record.
    pub groups: Vec<(u64, Vec<Persist>)>,
}

/// Reads the journal. The store holds it up to the record `stored`; `fresh_secret` is for a journal that has none yet.
/// All that was read is durable when it returns.
pub fn recover(
    files: Arc<dyn JournalFiles>,
    settings: JournalSettings,
    cluster: ClusterId,
    fresh_secret: u64,
    stored: u64,
) -> Result<Recovered, StorageError> {
    // Of a segment that was made just before a crash, too.
    files.sync_names()?;
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
    let verdict = judge::judge(&images, cluster, stored, files.noted())
        .map_err(|damage| damaged(&*files, damage.place, damage.reason))?;
    let groups = read_groups(&*files, &verdict)?;
    blot_out(&open, &verdict)?;
    let count = u32::try_from(open.len()).expect("segments are few");
    let mut take = |number: u32| {
        let (file, bytes) = open.remove(&number).expect("it was listed");
        Segment { file, bytes }
    };
    let active = verdict.end.map(|(number, offset)| (take(number), offset));
    let full = verdict.full.iter().map(|(last, number)| (*last, take(*number))).collect();
    let idle = verdict.idle.iter().map(|number| take(*number)).collect();
    let segments = Arc::new(Segments::new(files.clone(), settings, idle, full, count));
    let journal = Journal {
        files,
        segments,
        cluster,
        secret: verdict.secret.unwrap_or(fresh_secret),
        active,
        generation: verdict.generation,
        number: verdict.number,
        synced: verdict.number,
        chain: verdict.chain,
        buffer: Vec::new(),
        group: Vec::new(),
        cut: 0,
    };
    Ok(Recovered { journal, groups })
}

fn read_groups(
    files: &dyn JournalFiles,
    verdict: &Verdict,
) -> Result<Vec<(u64, Vec<Persist>)>, StorageError> {
    let read = |(last, bytes): &(u64, Bytes)| {
        let jobs = group::decode(bytes.clone()).map_err(|Malformed(reason)| {
            damaged(files, format!("the group that ends with record {last}"), reason)
        })?;
        Ok((*last, jobs))
    };
    verdict.groups.iter().map(read).collect()
}

/// What was dropped as torn must never be read again, as part of what is written in its place.
fn blot_out(
    open: &BTreeMap<u32, (Box<dyn SegmentFile>, usize)>,
    verdict: &Verdict,
) -> Result<(), StorageError> {
    for (number, place) in &verdict.torn {
        let (file, _) = &open[number];
        tracing::warn!(segment = number, "dropping a write to the journal that did not end before the crash");
        file.write(place.start, &vec![0; place.len()])?;
        file.sync()?;
    }
    Ok(())
}

fn damaged(files: &dyn JournalFiles, place: impl Into<String>, reason: impl Into<String>) -> StorageError {
    StorageError::damaged(files.path(), place, reason)
}
