//! Judges what came back after a cut by what was promised before.

use super::model::{COUNTER, Known, Log, Records, Step, digest};
use kontiki::types::EntryId;
use std::collections::BTreeSet;

/// Everything that a directory may hold.
#[derive(Default)]
pub struct Promised {
    known: Known,
    /// The entries that a compaction removed which may not be durable, and those that followed them.
    uncompacted: Log,
    /// The bases that the log may have.
    bases: BTreeSet<(u64, u64)>,
    /// What the log is if the step that was under way has taken place.
    next: Option<Next>,
    /// The states that the table may be in, the synced one first.
    tables: Vec<Records>,
}

struct Next {
    log: Log,
    is_reset: bool,
}

impl Promised {
    /// Of a new directory.
    pub fn new() -> Self {
        let bases = BTreeSet::from([(0, 0)]);
        Self { bases, tables: vec![Records::new()], ..Self::default() }
    }

    pub fn known(&self) -> &Known {
        &self.known
    }

    /// A step has returned: what it promised counts from now on.
    pub fn done(&mut self, step: &Step) {
        self.begun(step);
        self.known.follow(step);
        match step {
            Step::Log(jobs) => {
                // A compaction becomes durable some time later; a reset with the write.
                self.uncompacted.write(jobs);
                if jobs.iter().any(|job| job.reset.is_some()) {
                    self.bases = BTreeSet::from([base(&self.known.log)]);
                }
            }
            Step::Sync | Step::Install(_) => drop(self.tables.drain(..self.tables.len() - 1)),
            Step::Compact(_) | Step::Table(_) => {}
        }
        self.next = None;
    }

    /// A step was under way at the cut: it has taken place or not, or in part where that is allowed.
    pub fn begun(&mut self, step: &Step) {
        match step {
            Step::Log(jobs) => {
                let mut log = self.uncompacted.clone();
                log.write(jobs);
                self.next = Some(Next { log, is_reset: jobs.iter().any(|job| job.reset.is_some()) });
            }
            Step::Compact(through) => drop(self.bases.insert((through.term.get(), through.index.get()))),
            Step::Table(changes) => {
                let mut records = self.tables.last().cloned().unwrap_or_default();
                for (key, value) in changes {
                    match value {
                        Some(value) => records.insert(key.to_vec(), digest(value)),
                        None => records.remove(&key[..]),
                    };
                    // There is no batch: any number of the changes may be there, in this order.
                    self.tables.push(records.clone());
                }
            }
            Step::Install(records) => {
                let records = records.iter().map(|(key, value)| (key.to_vec(), digest(value)));
                self.tables.push(records.collect());
            }
            Step::Sync => {}
        }
    }

    /// Judges what was found, and takes it as what is promised from here on.
    pub fn found(&mut self, log: Log, records: Records) -> Result<(), String> {
        self.check_log(&log)?;
        self.check_table(&records)?;
        let changes = self.count(&records);
        self.bases = BTreeSet::from([base(&log)]);
        self.uncompacted = log.clone();
        self.known = Known { log, changes };
        self.next = None;
        self.tables = vec![records];
        Ok(())
    }

    fn check_log(&self, found: &Log) -> Result<(), String> {
        let before = &self.uncompacted;
        let next = self.next.as_ref();
        let states: Vec<_> =
            [Some(before.hard_state), next.map(|next| next.log.hard_state)].into_iter().flatten().collect();
        if !states.contains(&found.hard_state) {
            return Err(format!("term and vote are {:?}, promised was {states:?}", found.hard_state));
        }
        if let Some(Next { log, is_reset: true }) = next {
            if base(found) != base(log) {
                return self.check_entries(found, before, before);
            }
            let prefix = found.entries.iter().zip(&log.entries).all(|(found, written)| found == written);
            return if prefix { Ok(()) } else { Err("entries after a reset that were never written".into()) };
        }
        self.check_entries(found, before, next.map_or(before, |next| &next.log))
    }

    /// Entries in both logs must be there; all others must be in one of them.
    fn check_entries(&self, found: &Log, before: &Log, after: &Log) -> Result<(), String> {
        if !self.bases.contains(&base(found)) {
            return Err(format!("the base is {}, promised was {:?}", found.base, self.bases));
        }
        for (index, entry) in before.entries.range(found.base.index.get() + 1..) {
            if after.entries.get(index) == Some(entry) && found.entries.get(index) != Some(entry) {
                let has = found.entries.get(index);
                return Err(format!(
                    "entry {index} is {has:?}, promised was {entry:?}; the log ends at {}, promised was {}",
                    found.last(),
                    before.last()
                ));
            }
        }
        for (index, entry) in &found.entries {
            if before.entries.get(index) != Some(entry) && after.entries.get(index) != Some(entry) {
                return Err(format!(
                    "entry {index} is {entry:?}, which was never written there or was removed"
                ));
            }
        }
        Ok(())
    }

    fn check_table(&self, found: &Records) -> Result<(), String> {
        if self.tables.iter().any(|promised| promised == found) {
            return Ok(());
        }
        let first = self.tables.first().map_or(0, |records| self.place(records));
        let last = self.tables.last().map_or(0, |records| self.place(records));
        let count = self.place(found);
        let expected = self.tables.iter().find(|records| self.place(records) == count);
        let difference = expected.map(|expected| {
            let missing = expected.iter().filter(|(key, value)| found.get(*key) != Some(*value)).count();
            let surplus = found.iter().filter(|(key, value)| expected.get(*key) != Some(*value)).count();
            format!("{missing} of its records are missing and {surplus} are others")
        });
        Err(format!(
            "the table claims change {} with {} records: {}; synced was {}, written was {}",
            show(count),
            found.len(),
            difference.unwrap_or_else(|| "not one that it may have".into()),
            show(first),
            show(last)
        ))
    }

    fn place(&self, records: &Records) -> u32 {
        records.get(COUNTER).map_or(0, |(_, checksum)| *checksum)
    }

    /// The number of changes behind a counter's digest.
    fn count(&self, records: &Records) -> u64 {
        number(self.place(records), self.known.changes + 1)
    }
}

fn base(log: &Log) -> (u64, u64) {
    let EntryId { term, index } = log.base;
    (term.get(), index.get())
}

fn show(checksum: u32) -> String {
    format!("{checksum:08x}")
}

fn number(checksum: u32, most: u64) -> u64 {
    (1..=most).rev().find(|number| digest(&number.to_be_bytes()).1 == checksum).unwrap_or(0)
}
