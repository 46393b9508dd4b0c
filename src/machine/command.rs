//! What the log replicates, and what comes back.

use crate::kv::{Compact, Delete, DeleteResult, Put, PutResult, Refusal, Txn, TxnResult};
use crate::machine::gate::ClusterVersion;
use crate::types::Revision;

/// What the log replicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Set a key.
    Put(Put),
    /// Remove keys.
    Delete(Delete),
    /// Compare, then do one of two things.
    Txn(Txn),
    /// Forget the history below a revision.
    Compact(Compact),
    /// Raise the cluster's version.
    Raise(Raise),
}

/// Raises the version of the cluster, once all members know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The version from which on entries of newer kinds may come.
    pub version: ClusterVersion,
}

/// What a command answers. `revision` is the store's after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The store's revision after the command: the command's own if it changed something.
    pub revision: Revision,
    /// The answer proper.
    pub outcome: Outcome,
}

/// A command's answer by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A put was done.
    Put(PutResult),
    /// A delete was done.
    Delete(DeleteResult),
    /// A transaction was done.
    Txn(TxnResult),
    /// History was forgotten.
    Compact,
    /// The cluster's version was raised, or was there already.
    Raised,
    /// Nothing was done, on every node alike.
    Refused(Refusal),
}
