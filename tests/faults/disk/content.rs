//! The data of one file: durable, and since its last fsync.

use super::state::Cut;
use fastrand::Rng;

/// See the module.
#[derive(Default)]
pub struct Content {
    /// What is read.
    live: Vec<u8>,
    /// What a cut leaves at least, unless it was overwritten since.
    durable: Vec<u8>,
    pending: Vec<Pending>,
    /// Written since the last sync.
    unsynced_bytes: u64,
}

struct Pending {
    /// The place of the change in the order of all changes of the disk.
    sequence: u64,
    change: Change,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Content {
    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn read(&self, offset: usize, length: usize) -> &[u8] {
        let end = offset.saturating_add(length).min(self.live.len());
        self.live.get(offset..end).unwrap_or_default()
    }

    pub fn write(&mut self, sequence: u64, offset: usize, bytes: &[u8]) {
        write(&mut self.live, offset, bytes);
        self.unsynced_bytes += bytes.len() as u64;
        self.pending.push(Pending { sequence, change: Change::Write { offset, bytes: bytes.to_vec() } });
    }

    pub fn resize(&mut self, sequence: u64, length: usize) {
        self.live.resize(length, 0);
        self.pending.push(Pending { sequence, change: Change::Resize(length) });
    }

    /// How much was written since the last sync.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// An fsync.
    pub fn sync(&mut self) {
        self.unsynced_bytes = 0;
        for Pending { change, .. } in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
        // Writes that a failed fsync took are not in `live`'s durable twin, so only lengths are equal for certain.
        self.durable.resize(self.live.len(), 0);
    }

    /// An fsync that fails. What is durable does not follow; what is read stays, unless a cache above has its
    /// own copy: then this is the disk below, which never got the data.
    pub fn fail_sync(&mut self, cached: bool) {
        self.pending.clear();
        self.unsynced_bytes = 0;
        if cached {
            let length = self.live.len();
            self.live.clone_from(&self.durable);
            self.live.resize(length, 0);
        }
    }

    /// The places of the changes that are not synced.
    pub fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|pending| pending.sequence)
    }

    /// Becomes what a cut leaves of it.
    pub fn survive(&mut self, cut: &Cut, rng: &mut Rng) {
        match *cut {
            Cut::Nothing => {}
            Cut::Ordered { last, torn } => self.survive_ordered(last, torn),
            Cut::Subset { keep, unit } => self.survive_subset(keep, unit, rng),
        }
        self.pending.clear();
        self.unsynced_bytes = 0;
        self.live.clone_from(&self.durable);
    }

    /// All changes before `last`, and of that one its first `torn` part.
    fn survive_ordered(&mut self, last: u64, torn: f64) {
        for Pending { sequence, change } in &self.pending {
            match change {
                Change::Write { offset, bytes } if *sequence == last => {
                    let kept = (bytes.len() as f64 * torn) as usize;
                    // Up to a sector's end on the disk, not in the write.
                    let end = (offset + kept) / 512 * 512;
                    write(&mut self.durable, *offset, &bytes[..end.saturating_sub(*offset).min(bytes.len())]);
                }
                _ if *sequence < last => apply(&mut self.durable, change),
                _ => {}
            }
        }
    }

    /// Any units of any writes, and of the lengths that the file had one that is not older than the synced one.
    fn survive_subset(&mut self, keep: f64, unit: usize, rng: &mut Rng) {
        let mut lengths = vec![self.durable.len()];
        for Pending { change, .. } in &self.pending {
            let length = lengths.last().copied().unwrap_or(0);
            lengths.push(match change {
                Change::Write { offset, bytes } => length.max(offset + bytes.len()),
                Change::Resize(length) => *length,
            });
        }
        // As often as data: a kept length shows which data was lost.
        let place = if rng.f64() < keep { lengths.len() - 1 } else { rng.usize(..lengths.len()) };
        let length = lengths[place];
        for (number, Pending { change, .. }) in self.pending.iter().enumerate() {
            match change {
                // A length that was not kept has cut nothing off either.
                Change::Resize(length) if number < place => self.durable.resize(*length, 0),
                Change::Resize(_) => {}
                Change::Write { offset, bytes } => {
                    for (at, piece) in units(*offset, bytes, unit) {
                        if rng.f64() < keep {
                            write(&mut self.durable, at, piece);
                        }
                    }
                }
            }
        }
        self.durable.resize(length, 0);
    }
}

/// Cuts a write where the units of the disk begin.
fn units(mut offset: usize, mut bytes: &[u8], unit: usize) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let (piece, rest) = bytes.split_at((unit - offset % unit).min(bytes.len()));
        let found = (offset, piece);
        (offset, bytes) = (offset + piece.len(), rest);
        (!piece.is_empty()).then_some(found)
    })
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => write(content, *offset, bytes),
        Change::Resize(length) => content.resize(*length, 0),
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}
