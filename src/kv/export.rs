//! Everything that can be read, straight from the table.

use crate::kv::index::CHUNK_KEYS;
use crate::kv::inventory::Inventory;
use crate::kv::meta::Meta;
use crate::kv::model::Refusal;
use crate::kv::readers::Reading;
use crate::kv::record::{self, Record};
use crate::kv::table::TableError;
use crate::kv::version::Position;
use crate::kv::view::View;
use crate::types::Revision;
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};
use std::vec;

/// A page is read at once, so that no iterator of the engine stays open while
/// a slow receiver takes its time.
const PAGE_RECORDS: usize = 256;
/// See [`PAGE_RECORDS`].
const PAGE_BYTES: usize = 1 << 20;

/// The raw records that reproduce a state in another table: the first describes
/// the state, the others are in key order. Written into an empty table, which
/// [`Machine::open`](crate::kv::Machine::open) then opens, they give a machine
/// with the same answers and hashes.
///
/// An error ends it; what was received before is of no use then.
#[derive(Debug)]
pub struct Export {
    meta: Option<Bytes>,
    records: Readable,
}

impl Export {
    pub(crate) fn new(view: &View) -> Result<Self, Refusal> {
        let records = Readable::new(view, view.revision())?;
        // What this node has not collected yet is not part of the copy.
        let meta = Meta { inventory: readable(view, view.revision()), ..view.meta.clone() };
        Ok(Self { meta: Some(meta.encode()), records })
    }
}

impl Iterator for Export {
    type Item = Result<(Bytes, Bytes), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.meta.take() {
            Some(meta) => Some(Ok((Bytes::from_static(&Meta::TABLE_KEY), meta))),
            None => self.records.next(),
        }
    }
}

/// All records that some read at a revision of the view up to `through` can
/// see, each checked for damage, with an error if one is missing.
#[derive(Debug)]
pub(crate) struct Readable {
    view: View,
    /// What makes "missing" mean "damaged".
    _reading: Reading,
    /// The key of the record that was read last, or what is before all records.
    last: Bound<Bytes>,
    /// What is behind all records.
    end: [u8; 13],
    page: vec::IntoIter<(Bytes, Bytes)>,
    /// How many records are still to come.
    missing: u64,
    done: bool,
}

impl Readable {
    pub(crate) fn new(view: &View, through: Revision) -> Result<Self, Refusal> {
        let compacted = view.compact_revision();
        let reading = view.readers.begin(compacted)?;
        let first = Position::first_of(Revision(0));
        Ok(Self {
            view: view.clone(),
            _reading: reading,
            last: Bound::Excluded(Bytes::copy_from_slice(&first.table_key())),
            end: Position::first_of(through.next()).table_key(),
            page: Vec::new().into_iter(),
            missing: readable(view, through).records,
            done: false,
        })
    }

    /// The next record that can be read.
    fn find(&mut self) -> Result<Option<(Bytes, Bytes)>, TableError> {
        loop {
            let Some((key, value)) = self.page.next() else {
                if self.read_page()? {
                    continue;
                }
                return self.end();
            };
            let record = record::decode(Position::from_table_key(&key)?, &value)?;
            if self.is_readable(&record) {
                self.missing = self.missing.saturating_sub(1);
                return Ok(Some((key, value)));
            }
        }
    }

    /// Whether there was one more page.
    fn read_page(&mut self) -> Result<bool, TableError> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        let last = self.last.as_ref().map(|key| &key[..]);
        for record in self.view.table.scan(last, Bound::Excluded(&self.end)) {
            let (key, value) = record?;
            bytes += value.len();
            page.push((key, value));
            if page.len() >= PAGE_RECORDS || bytes >= PAGE_BYTES {
                break;
            }
        }
        if let Some((key, _)) = page.last() {
            self.last = Bound::Excluded(key.clone());
        }
        self.page = page.into_iter();
        Ok(self.page.len() > 0)
    }

    /// Garbage is left out, whether this node has removed it already or not: a
    /// version that was replaced or deleted at or below the compaction.
    fn is_readable(&self, record: &Record) -> bool {
        let compacted = self.view.compact_revision();
        if record.version.revision > compacted {
            return true;
        }
        let index = self.view.index.read();
        let at_compaction = index.history(&record.key).and_then(|history| history.at(compacted));
        at_compaction == Some(record.version) && !record.version.is_tombstone()
    }

    fn end(&self) -> Result<Option<(Bytes, Bytes)>, TableError> {
        match self.missing {
            0 => Ok(None),
            missing => Err(TableError(format!("{missing} records of revisions are missing"))),
        }
    }
}

impl Iterator for Readable {
    type Item = Result<(Bytes, Bytes), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let found = self.find().transpose();
        self.done = !matches!(found, Some(Ok(_)));
        found
    }
}

/// Which versions can be read, by the index.
fn readable(view: &View, through: Revision) -> Inventory {
    let mut inventory = Inventory::default();
    let mut next = Some(Box::default());
    while let Some(start) = next {
        next = view.index.read().walk_histories(&start, CHUNK_KEYS, &mut |_, history| {
            let places = history.garbage(view.compact_revision())..history.count_through(through);
            let versions = places.filter_map(|place| history.get(place));
            versions.for_each(|version| inventory.add(version.position()));
            ControlFlow::Continue(())
        });
    }
    inventory
}
