//! The directory that each peer presented first.
//!
//! A member whose disk was emptied and that comes back under its old id may
//! vote twice in a term and has forgotten what it acknowledged: that breaks
//! Raft's one assumption about storage. So every node remembers the directory of
//! every peer (trust on first use), and refuses another one until an operator
//! has replaced the member properly.

use crate::storage::error::{OpenError, StorageError};
use crate::storage::fsync;
use crate::storage::sealed_file;
use crate::types::{DirectoryId, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a directory compares with what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The peer was not known; it is now, durably.
    New,
    /// It is the remembered one.
    Same,
    /// The peer had another one before: it was wiped, or two processes use one id.
    Different {
        /// The remembered one, which stays.
        known: DirectoryId,
    },
}

/// The durable record of the peers' directories.
#[derive(Debug)]
pub struct PeerDirectories {
    path: PathBuf,
    /// The directory that it belongs to.
    own: DirectoryId,
    known: BTreeMap<NodeId, DirectoryId>,
}

/// The file's content: ids in hexadecimal, since many JSON parsers round large numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// The directory that the file belongs to.
    directory: String,
    /// By peer.
    peers: BTreeMap<String, String>,
}

impl PeerDirectories {
    /// Makes an empty record for this directory, unless there is one. Durable when it returns.
    pub(crate) fn create(path: &Path, own: DirectoryId) -> Result<(), StorageError> {
        if path.exists() {
            return Ok(());
        }
        let none = Self { path: path.to_owned(), own, known: BTreeMap::new() };
        none.save(&none.known)
    }

    pub(crate) fn load(path: &Path, own: DirectoryId) -> Result<Self, OpenError> {
        let value = sealed_file::read(path)?.ok_or_else(|| OpenError::Missing { path: path.to_owned() })?;
        let content: Content = serde_json::from_value(value)
            .map_err(|error| StorageError::damaged(path, "peers", error.to_string()))?;
        if content.directory != format!("{:x}", own.get()) {
            let reason = format!("it belongs to directory {}, not {:x}", content.directory, own.get());
            return Err(StorageError::damaged(path, "its owner", reason).into());
        }
        let parsed = content.peers.iter().map(|(peer, directory)| parse(path, peer, directory));
        let known = parsed.collect::<Result<_, _>>()?;
        // What it says is acted upon from now on.
        fsync::renew_file(path)?;
        Ok(Self { path: path.to_owned(), own, known })
    }

    /// The directory that is remembered for a peer.
    pub fn get(&self, peer: NodeId) -> Option<DirectoryId> {
        self.known.get(&peer).copied()
    }

    /// Compares a peer's directory with the remembered one, or remembers it if there is none. The result is
    /// durable when this returns.
    pub fn remember(&mut self, peer: NodeId, directory: DirectoryId) -> Result<Seen, StorageError> {
        match self.get(peer) {
            Some(known) if known == directory => Ok(Seen::Same),
            Some(known) => Ok(Seen::Different { known }),
            None => {
                let mut known = self.known.clone();
                known.insert(peer, directory);
                self.save(&known)?;
                self.known = known;
                Ok(Seen::New)
            }
        }
    }

    fn save(&self, known: &BTreeMap<NodeId, DirectoryId>) -> Result<(), StorageError> {
        let hex = |(peer, directory): (&NodeId, &DirectoryId)| {
            (format!("{:x}", peer.get()), format!("{:x}", directory.get()))
        };
        let content =
            Content { directory: format!("{:x}", self.own.get()), peers: known.iter().map(hex).collect() };
        sealed_file::write(&self.path, &content)
    }
}

fn parse(path: &Path, peer: &str, directory: &str) -> Result<(NodeId, DirectoryId), StorageError> {
    let number = |text: &str| {
        u64::from_str_radix(text, 16).map_err(|_| {
            StorageError::damaged(path, "peers", format!("{text:?} is not a hexadecimal number"))
        })
    };
    Ok((NodeId(number(peer)?), DirectoryId(number(directory)?)))
}
