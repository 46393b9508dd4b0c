//! What the log replicates, and what comes back.

use crate::kv::{Compact, Delete, DeleteResult, Put, PutResult, Refusal, Txn, TxnResult};
use crate::machine::compatibility::ClusterVersion;
use crate::types::Revision;

/// What the log replicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Put(Put),
    Delete(Delete),
    /// Compare, then do one of two things.
    Txn(Txn),
    Compact(Compact),
    Raise(Raise),
}

impl Command {
    /// Whether it can only lead to less: it leaves nothing behind that a compaction does not remove. Such commands are
    /// the way out of a full disk.
    pub fn makes_room(&self) -> bool {
        match self {
            Self::Delete(_) | Self::Compact(_) => true,
            Self::Txn(txn) => !txn.puts(),
            Self::Put(_) | Self::Raise(_) => false,
        }
    }
}

/// Raises the version of the cluster, once all members know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The new version: from now on entries of its kinds may follow.
    pub version: ClusterVersion,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The store's revision after the command: the command's own if it changed something.
    pub revision: Revision,
    pub result: CommandResult,
}

impl CommandResult {
    /// About how many bytes the keys and values in it hold.
    pub fn size(&self) -> usize {
        match self {
            Self::Put(put) => put.size(),
            Self::Delete(delete) => delete.size(),
            Self::Txn(txn) => txn.size(),
            Self::Compact | Self::Raised | Self::Refused(_) => 0,
        }
    }
}

/// The result of a command, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandResult {
    Put(PutResult),
    Delete(DeleteResult),
    Txn(TxnResult),
    Compact,
    /// The cluster's version was raised, or was there already.
    Raised,
    /// Nothing was done, on any node.
    Refused(Refusal),
}
