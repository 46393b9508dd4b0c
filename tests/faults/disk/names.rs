//! The entries of one directory: durable, and since its last fsync.

use super::state::Cut;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The names of a directory and the files that they stand for.
pub type Entries = BTreeMap<OsString, u64>;

/// See the module.
#[derive(Default)]
pub struct Names {
    live: Entries,
    durable: Entries,
    pending: Vec<(u64, NameChange)>,
}

/// One atomic change of a directory.
pub enum NameChange {
    Set(OsString, u64),
    Remove(OsString),
    /// It writes the new name anew, whether the old one was ever on the disk or not.
    Rename {
        from: OsString,
        to: OsString,
        file: u64,
    },
}

impl Names {
    pub fn get(&self, name: &OsStr) -> Option<u64> {
        self.live.get(name).copied()
    }

    pub fn live(&self) -> &Entries {
        &self.live
    }

    pub fn change(&mut self, sequence: u64, change: NameChange) {
        apply(&mut self.live, &change);
        self.pending.push((sequence, change));
    }

    /// An fsync of the directory. What an earlier, failed one took is not written by it.
    pub fn sync(&mut self) {
        for (_, change) in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    /// An fsync that fails: the changes are seen still, and no later one writes them.
    pub fn fail_sync(&mut self) {
        self.pending.clear();
    }

    /// The places of the changes that are not synced.
    pub fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|(sequence, _)| *sequence)
    }

    /// All files that a name may still stand for, now or after a cut.
    pub fn referenced(&self) -> impl Iterator<Item = u64> {
        let set = self.pending.iter().filter_map(|(_, change)| match change {
            NameChange::Set(_, file) | NameChange::Rename { file, .. } => Some(*file),
            NameChange::Remove(_) => None,
        });
        self.live.values().chain(self.durable.values()).copied().chain(set)
    }

    /// Becomes what a cut leaves of it: a prefix of the changes.
    pub fn survive(&mut self, cut: &Cut, rng: &mut Rng) {
        let kept = match *cut {
            Cut::Nothing => 0,
            Cut::Ordered { last, .. } => self.pending().filter(|sequence| *sequence < last).count(),
            Cut::Subset { keep, .. } if rng.f64() < keep => self.pending.len(),
            Cut::Subset { .. } => rng.usize(..=self.pending.len()),
        };
        for (_, change) in &self.pending[..kept] {
            apply(&mut self.durable, change);
        }
        self.pending.clear();
        self.live.clone_from(&self.durable);
    }
}

fn apply(entries: &mut Entries, change: &NameChange) {
    match change {
        NameChange::Set(name, file) => drop(entries.insert(name.clone(), *file)),
        NameChange::Remove(name) => drop(entries.remove(name)),
        NameChange::Rename { from, to, file } => {
            entries.remove(from);
            entries.insert(to.clone(), *file);
        }
    }
}
