//! What the kernel asks for, handed to [`State`].

use super::Shared;
use super::content::Content;
use super::names::Names;
use super::state::{Kind, Node, State};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nothing is cached: after a cut the kernel must not remember what is gone.
const AT_ONCE: Duration = Duration::ZERO;
const BLOCK_BYTES: u64 = 4096;
/// What an unlimited disk claims to have free.
const AMPLE_BYTES: u64 = 1 << 40;

/// The file system as `fuser` drives it.
pub struct Mounted {
    shared: Arc<Shared>,
}

impl Mounted {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Works on the state with a handle that must be of this life of the disk.
    fn with<T>(
        &self,
        handle: FileHandle,
        work: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut state = self.shared.state();
        state.check()?;
        if !state.is_alive(handle.0) {
            return Err(Errno::EIO);
        }
        let was_cut = state.is_cut();
        let result = work(&mut state);
        if state.is_cut() != was_cut {
            self.shared.changed.notify_all();
        }
        result
    }

    /// The same for what is asked by name.
    fn by_name<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        let handle = self.shared.state().first_handle();
        self.with(FileHandle(handle), work)
    }

    fn wait_as_slow_disks_do(&self) {
        let delay = self.shared.state().delay();
        std::thread::sleep(delay);
    }

    fn hang(&self) {
        let state = self.shared.state();
        let hung = self.shared.changed.wait_while(state, |state| state.faults.hang_fsyncs && !state.is_cut());
        drop(hung.unwrap_or_else(PoisonError::into_inner));
    }

    fn make(&self, parent: INodeNo, name: &OsStr, mode: u32, kind: Kind) -> Result<FileAttr, Errno> {
        let mode = (mode & 0o7777) as u16;
        self.by_name(|state| {
            let number = state.make(parent.0, name, mode, kind)?;
            Ok(attributes(number, state.node(number)?))
        })
    }

    /// With a cache it is kept from one open to the next, as that of an ordinary file system is,
    /// but not across a power cut.
    fn open_node(&self, number: INodeNo) -> Result<(FileHandle, FopenFlags), Errno> {
        self.by_name(|state| {
            let (handle, again) = state.open(number.0)?;
            let flags = match (state.cached, again) {
                (false, _) => FopenFlags::FOPEN_DIRECT_IO,
                (true, true) => FopenFlags::FOPEN_KEEP_CACHE,
                (true, false) => FopenFlags::empty(),
            };
            Ok((FileHandle(handle), flags))
        })
    }

    fn close_node(&self, number: INodeNo, handle: FileHandle) {
        // A handle of an earlier life was forgotten with it.
        let _ = self.with(handle, |state| state.close(number.0, handle.0));
    }

    /// What an fsync that is about to fail has not written must be in the kernel's cache, to be believed in.
    fn fill_cache(&self, number: INodeNo) {
        let path = {
            let state = self.shared.state();
            if !state.cached || state.faults.fail_fsync != Some(1) {
                return;
            }
            state.path(number.0, super::state::ROOT, &self.shared.mount)
        };
        // The other threads answer this. A directory is not read, nor a file without a name.
        let _ = path.map(std::fs::read);
    }

    fn sync(&self, number: INodeNo, handle: FileHandle) -> Result<(), Errno> {
        self.wait_as_slow_disks_do();
        self.hang();
        self.fill_cache(number);
        self.with(handle, |state| state.sync(number.0, handle.0))
    }
}

fn attributes(number: u64, node: &Node) -> FileAttr {
    let kind =
        if matches!(node.kind, Kind::Directory(_)) { FileType::Directory } else { FileType::RegularFile };
    let size = node.len() as u64;
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: node.mode,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES as u32,
        flags: 0,
    }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&AT_ONCE, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_open(reply: ReplyOpen, result: Result<(FileHandle, FopenFlags), Errno>) {
    match result {
        Ok((handle, flags)) => reply.opened(handle, flags),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.by_name(|state| {
            let number = state.lookup(parent.0, name)?;
            Ok(attributes(number, state.node(number)?))
        });
        answer_entry(reply, found);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.by_name(|state| Ok(attributes(number.0, state.node(number.0)?))) {
            Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let handle = handle.unwrap_or_else(|| FileHandle(self.shared.state().first_handle()));
        let changed = self.with(handle, |state| {
            if let Some(mode) = mode {
                state.node_mut(number.0)?.mode = (mode & 0o7777) as u16;
            }
            if let Some(size) = size {
                state.resize(number.0, size as usize)?;
            }
            Ok(attributes(number.0, state.node(number.0)?))
        });
        match changed {
            Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        answer_entry(reply, self.make(parent, name, mode & !umask, Kind::Directory(Names::default())));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.by_name(|state| state.unlink(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.by_name(|state| state.rmdir(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if parent != new_parent {
            return reply.error(Errno::EXDEV);
        }
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        answer(reply, self.by_name(|state| state.rename(parent.0, name, new_name)));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = self.make(parent, name, mode & !umask, Kind::File(Content::default()));
        match made.and_then(|attributes| Ok((attributes, self.open_node(attributes.ino)?))) {
            Ok((attributes, (handle, flags))) => {
                reply.created(&AT_ONCE, &attributes, Generation(0), handle, flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer_open(reply, self.open_node(number));
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer_open(reply, self.open_node(number));
    }

    fn release(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.close_node(number, handle);
        reply.ok();
    }

    fn releasedir(&self, _: &Request, number: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.close_node(number, handle);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.with(handle, |state| match &state.node(number.0)?.kind {
            Kind::File(content) => Ok(content.read(offset as usize, size as usize).to_vec()),
            Kind::Directory(_) => Err(Errno::EISDIR),
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.wait_as_slow_disks_do();
        match self.with(handle, |state| state.write(number.0, offset as usize, bytes)) {
            Ok(()) => reply.written(bytes.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, number: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.sync(number, handle));
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.sync(number, handle));
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.with(handle, |state| {
            let entries = state.names(number.0)?.live().iter();
            let entries = entries.map(|(name, number)| {
                let attributes = attributes(*number, state.node(*number)?);
                Ok((*number, attributes.kind, name.clone()))
            });
            entries.collect::<Result<Vec<_>, Errno>>()
        });
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        let own = [".", ".."].map(|name| (number.0, FileType::Directory, name.into()));
        for (place, (number, kind, name)) in (1..).zip(own.into_iter().chain(entries)).skip(offset as usize) {
            if reply.add(INodeNo(number), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = self.shared.state();
        let used = state.used_bytes();
        let total = state.faults.capacity.filter(|_| !state.faults.hidden).unwrap_or(used + AMPLE_BYTES);
        let free = total.saturating_sub(used) / BLOCK_BYTES;
        let block = BLOCK_BYTES as u32;
        reply.statfs(total / BLOCK_BYTES, free, free, 1 << 20, 1 << 20, block, 255, block);
    }
}
