//! The disk as a whole, without the kernel: files, faults and cuts.

use super::content::Content;
use super::names::{NameChange, Names};
use fastrand::Rng;
use fuser::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const ROOT: u64 = 1;
/// A handle is the life of the disk, and below it a number of this many bits.
const HANDLE_BITS: u32 = 40;

/// What a cut takes of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it.
    Everything,
    /// All that came after one point in time, on the whole disk; the write at that point is torn between two
    /// sectors of 512 bytes. A disk with a cache that writes back in order.
    Ordered,
    /// Any of it: every sector of 512 bytes (sometimes: page of 4 KiB) of every write for itself, every length and
    /// every directory for itself. The worst that a disk or a file system may do.
    Subset,
}

/// A [`Loss`] with its random choices made.
pub enum Cut {
    Nothing,
    Ordered { last: u64, torn: f64 },
    Subset { keep: f64, unit: usize },
}

/// What was done, and what was done to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub writes: u64,
    pub written_bytes: u64,
    pub syncs: u64,
    pub name_changes: u64,
    pub cuts: u64,
    /// Cuts that found something unsynced.
    pub cuts_with_loss: u64,
    /// Of files and of directories.
    pub failed_syncs: u64,
    pub refused_for_room: u64,
    /// Writes and syncs that took longer because the disk was slow.
    pub delayed: u64,
    /// The most that was written to a file between two of its syncs.
    pub most_unsynced_bytes: u64,
}

/// Faults that stay until they are taken back.
#[derive(Default)]
pub struct Faults {
    /// Which fsync of a file from now on fails.
    pub fail_fsync: Option<u64>,
    /// Which fsync of a directory from now on fails.
    pub fail_directory_fsync: Option<u64>,
    pub hang_fsyncs: bool,
    pub delay: Duration,
    pub capacity: Option<u64>,
    /// Whether `statfs` knows nothing of the capacity.
    pub hidden: bool,
}

/// See the module.
pub struct State {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    sequence: u64,
    rng: Rng,
    /// Counts the lives of the disk; a handle belongs to one.
    life: u64,
    /// The open handles, and how many failures of their files each knows of.
    handles: BTreeMap<u64, u64>,
    next_handle: u64,
    /// Whether the kernel's page cache is above it.
    pub cached: bool,
    off: bool,
    cut_after: Option<(u64, Loss)>,
    pub faults: Faults,
    pub counters: Counters,
}

/// A file or a directory.
pub struct Node {
    pub mode: u16,
    handles: u32,
    /// The life of the disk in which it was opened last.
    opened: u64,
    /// Failed fsyncs.
    failures: u64,
    pub kind: Kind,
}

pub enum Kind {
    File(Content),
    Directory(Names),
}

type FsResult<T> = Result<T, Errno>;

impl State {
    pub fn new(seed: u64) -> Self {
        let root = Node::new(0o755, Kind::Directory(Names::default()));
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            sequence: 0,
            rng: Rng::with_seed(seed),
            life: 1,
            handles: BTreeMap::new(),
            next_handle: 0,
            cached: false,
            off: false,
            cut_after: None,
            faults: Faults::default(),
            counters: Counters::default(),
        }
    }

    pub fn is_cut(&self) -> bool {
        self.off
    }

    /// The lowest number of a handle of this life.
    pub fn first_handle(&self) -> u64 {
        self.life << HANDLE_BITS
    }

    /// Whether a handle is of this life.
    pub fn is_alive(&self, handle: u64) -> bool {
        handle >> HANDLE_BITS == self.life
    }

    /// Answers a handle, and whether the file was opened before in this life.
    pub fn open(&mut self, number: u64) -> FsResult<(u64, bool)> {
        let (handle, life) = (self.first_handle() + self.next_handle, self.life);
        let node = self.node_mut(number)?;
        node.handles += 1;
        let again = std::mem::replace(&mut node.opened, life) == life;
        let failures = node.failures;
        self.handles.insert(handle, failures);
        self.next_handle += 1;
        Ok((handle, again))
    }

    pub fn close(&mut self, number: u64, handle: u64) -> FsResult<()> {
        self.handles.remove(&handle);
        let node = self.node_mut(number)?;
        node.handles = node.handles.saturating_sub(1);
        Ok(())
    }

    /// By how much a write or sync is slowed down.
    pub fn delay(&mut self) -> Duration {
        self.counters.delayed += u64::from(!self.faults.delay.is_zero());
        self.faults.delay
    }

    pub fn used_bytes(&self) -> u64 {
        self.nodes.values().map(|node| node.len() as u64).sum()
    }

    pub fn cut_after(&mut self, operations: u64, loss: Loss) {
        self.cut_after = Some((operations, loss));
    }

    pub fn cut(&mut self, loss: Loss) {
        if self.off {
            return;
        }
        self.off = true;
        self.cut_after = None;
        self.counters.cuts += 1;
        let pending: BTreeSet<u64> = self.nodes.values().flat_map(Node::pending).collect();
        self.counters.cuts_with_loss += u64::from(!pending.is_empty());
        let cut = self.throw(loss, &pending.into_iter().collect::<Vec<_>>());
        for node in self.nodes.values_mut() {
            match &mut node.kind {
                Kind::File(content) => content.survive(&cut, &mut self.rng),
                Kind::Directory(names) => names.survive(&cut, &mut self.rng),
            }
        }
    }

    fn throw(&mut self, loss: Loss, pending: &[u64]) -> Cut {
        match loss {
            Loss::Everything => Cut::Nothing,
            Loss::Ordered => {
                let place = self.rng.usize(..=pending.len());
                Cut::Ordered { last: pending.get(place).copied().unwrap_or(u64::MAX), torn: self.rng.f64() }
            }
            Loss::Subset => {
                let keep = [0.02, 0.3, 0.7, 0.98][self.rng.usize(..4)];
                Cut::Subset { keep, unit: if self.rng.u8(..4) == 0 { 4096 } else { 512 } }
            }
        }
    }

    pub fn revive(&mut self) {
        self.off = false;
        self.life += 1;
        self.cut_after = None;
        self.faults = Faults::default();
        for node in self.nodes.values_mut() {
            node.handles = 0;
            node.failures = 0;
        }
        self.handles.clear();
        self.collect();
    }

    /// Whether the disk answers at all.
    pub fn check(&self) -> FsResult<()> {
        if self.off { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Before each change and sync: the moment at which the power may fail. Answers the place in the order.
    fn step(&mut self) -> FsResult<u64> {
        self.check()?;
        if let Some((left, loss)) = self.cut_after {
            if left <= 1 {
                self.cut(loss);
                return Err(Errno::EIO);
            }
            self.cut_after = Some((left - 1, loss));
        }
        self.sequence += 1;
        Ok(self.sequence)
    }

    pub fn node(&self, number: u64) -> FsResult<&Node> {
        self.check()?;
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub fn node_mut(&mut self, number: u64) -> FsResult<&mut Node> {
        self.check()?;
        self.nodes.get_mut(&number).ok_or(Errno::ENOENT)
    }

    pub fn names(&self, number: u64) -> FsResult<&Names> {
        match &self.node(number)?.kind {
            Kind::Directory(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, number: u64) -> FsResult<&mut Names> {
        match &mut self.node_mut(number)?.kind {
            Kind::Directory(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn content_mut(&mut self, number: u64) -> FsResult<&mut Content> {
        match &mut self.node_mut(number)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Directory(_) => Err(Errno::EISDIR),
        }
    }

    pub fn lookup(&self, parent: u64, name: &OsStr) -> FsResult<u64> {
        self.names(parent)?.get(name).ok_or(Errno::ENOENT)
    }

    /// The path of a file below a directory that has a path.
    pub fn path(&self, number: u64, below: u64, at: &Path) -> Option<PathBuf> {
        self.names(below).ok()?.live().iter().find_map(|(name, entry)| {
            let path = at.join(name);
            if *entry == number { Some(path) } else { self.path(number, *entry, &path) }
        })
    }

    pub fn make(&mut self, parent: u64, name: &OsStr, mode: u16, kind: Kind) -> FsResult<u64> {
        if self.names(parent)?.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node::new(mode, kind));
        self.change(parent, NameChange::Set(name.to_owned(), number))?;
        Ok(number)
    }

    pub fn unlink(&mut self, parent: u64, name: &OsStr) -> FsResult<()> {
        let number = self.lookup(parent, name)?;
        if self.names(number).is_ok() {
            return Err(Errno::EISDIR);
        }
        self.change(parent, NameChange::Remove(name.to_owned()))
    }

    pub fn rmdir(&mut self, parent: u64, name: &OsStr) -> FsResult<()> {
        let number = self.lookup(parent, name)?;
        if !self.names(number)?.live().is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.change(parent, NameChange::Remove(name.to_owned()))
    }

    pub fn rename(&mut self, parent: u64, from: &OsStr, to: &OsStr) -> FsResult<()> {
        let file = self.lookup(parent, from)?;
        if let Ok(target) = self.lookup(parent, to)
            && self.names(target).is_ok_and(|names| !names.live().is_empty())
        {
            return Err(Errno::ENOTEMPTY);
        }
        self.change(parent, NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file })
    }

    fn change(&mut self, parent: u64, change: NameChange) -> FsResult<()> {
        // The change itself may be what the cut tears: it is then on its way, like any other.
        let sequence = self.sequence + 1;
        let stepped = self.step_with(|state| {
            state.names_mut(parent)?.change(sequence, change);
            Ok(())
        });
        self.counters.name_changes += 1;
        stepped
    }

    /// Does a change, and lets the power fail with the change among what is not synced.
    fn step_with(&mut self, change: impl FnOnce(&mut Self) -> FsResult<()>) -> FsResult<()> {
        self.check()?;
        self.sequence += 1;
        change(self)?;
        match self.cut_after {
            Some((left, loss)) if left <= 1 => {
                self.cut(loss);
                Err(Errno::EIO)
            }
            Some((left, loss)) => {
                self.cut_after = Some((left - 1, loss));
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn write(&mut self, number: u64, offset: usize, bytes: &[u8]) -> FsResult<()> {
        let grown = (offset + bytes.len()).saturating_sub(self.content_mut(number)?.len());
        self.check_room(grown as u64)?;
        self.counters.writes += 1;
        self.counters.written_bytes += bytes.len() as u64;
        let sequence = self.sequence + 1;
        self.step_with(|state| {
            let content = state.content_mut(number)?;
            content.write(sequence, offset, bytes);
            let unsynced = content.unsynced_bytes();
            state.counters.most_unsynced_bytes = state.counters.most_unsynced_bytes.max(unsynced);
            Ok(())
        })
    }

    pub fn resize(&mut self, number: u64, length: usize) -> FsResult<()> {
        let sequence = self.sequence + 1;
        self.step_with(|state| {
            state.content_mut(number)?.resize(sequence, length);
            Ok(())
        })
    }

    fn check_room(&mut self, more: u64) -> FsResult<()> {
        let fits = self.faults.capacity.is_none_or(|capacity| self.used_bytes() + more <= capacity);
        if fits || more == 0 {
            return Ok(());
        }
        self.counters.refused_for_room += 1;
        Err(Errno::ENOSPC)
    }

    pub fn sync(&mut self, number: u64, handle: u64) -> FsResult<()> {
        self.node(number)?;
        self.step()?;
        self.counters.syncs += 1;
        let fails = self.fails_now(number)?;
        let cached = self.cached;
        let node = self.node_mut(number)?;
        match &mut node.kind {
            Kind::File(content) if fails => {
                content.fail_sync(cached);
                node.failures += 1;
            }
            Kind::File(content) => content.sync(),
            Kind::Directory(names) if fails => {
                names.fail_sync();
                node.failures += 1;
            }
            Kind::Directory(names) => {
                names.sync();
                self.collect();
            }
        }
        self.tell_failures(number, handle)
    }

    /// Counts the fsyncs of files, or of directories, down to the one that is to fail.
    fn fails_now(&mut self, number: u64) -> FsResult<bool> {
        let counter = match self.names(number) {
            Ok(_) => &mut self.faults.fail_directory_fsync,
            Err(_) => &mut self.faults.fail_fsync,
        };
        let left = counter.map(|left| left.saturating_sub(1));
        *counter = left.filter(|left| *left > 0);
        self.counters.failed_syncs += u64::from(left == Some(0));
        Ok(left == Some(0))
    }

    /// As on Linux, each handle that was open gets the error once.
    fn tell_failures(&mut self, number: u64, handle: u64) -> FsResult<()> {
        let failures = self.node(number)?.failures;
        match self.handles.insert(handle, failures) {
            Some(known) if known < failures => Err(Errno::EIO),
            _ => Ok(()),
        }
    }

    /// Forgets the files that no name stands for any more, nor can after a cut.
    fn collect(&mut self) {
        let mut wanted = BTreeSet::new();
        let mut waiting = vec![ROOT];
        while let Some(number) = waiting.pop() {
            if wanted.insert(number)
                && let Some(Node { kind: Kind::Directory(names), .. }) = self.nodes.get(&number)
            {
                waiting.extend(names.referenced());
            }
        }
        self.nodes.retain(|number, node| wanted.contains(number) || node.handles > 0);
    }
}

impl Node {
    fn new(mode: u16, kind: Kind) -> Self {
        Self { mode, handles: 0, opened: 0, failures: 0, kind }
    }

    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::File(content) => content.len(),
            Kind::Directory(_) => 0,
        }
    }

    fn pending(&self) -> Vec<u64> {
        match &self.kind {
            Kind::File(content) => content.pending().collect(),
            Kind::Directory(names) => names.pending().collect(),
        }
    }
}
