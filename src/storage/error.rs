//! What can go wrong between this node and its disk. The messages tell an operator what to do.

use crate::storage::descriptors;
use crate::storage::snapshot::SnapshotFileError;
use crate::types::{ClusterId, NodeId};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The disk or the engine broke its promise, or the data is damaged. Final for the store that returned it:
/// nothing is retried (an fsync that is repeated after a failure reports success although the data is gone),
/// and the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        path: PathBuf,
        reason: String,
    },
    /// sled failed, or panicked.
    #[error(
        "the storage engine at {} could not {action}: {reason}. If the disk is full, make \
         room and start again; otherwise the disk or the engine's files failed: see \"A member has lost its \
         data\" in docs/operations.md",
        path.display()
    )]
    Engine {
        /// What was tried, as a verb.
        action: &'static str,
        path: PathBuf,
        reason: String,
    },
    /// The data read is not what was written. Nothing is skipped or truncated, since what follows may have
    /// been acknowledged.
    #[error(
        "{} is damaged: {record}: {reason}. Nothing is repaired; keep a copy for analysis, and see \"When something is \
         wrong\" in docs/operations.md; the others have its data",
        path.display()
    )]
    Damaged { path: PathBuf, record: String, reason: String },
}

impl StorageError {
    /// For `map_err` on file system calls.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| {
            let hint = match descriptors::is_lack(&error) {
                true => ". The disk is well, but no file can be opened: raise the limit of open files",
                false => "",
            };
            Self::Io { action, path: path.to_owned(), reason: format!("{error}{hint}") }
        }
    }

    /// Whether the disk (or a quota) was merely full.
    pub(crate) fn is_lack_of_room(&self) -> bool {
        let codes = ["(os error 28)", "(os error 122)"];
        matches!(self, Self::Io { reason, .. } if codes.iter().any(|code| reason.ends_with(code)))
    }

    pub(crate) fn damaged(path: &Path, record: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), record: record.into(), reason: reason.into() }
    }
}

/// Why a data directory cannot be used: what was found, what was expected and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The directory contains foreign files.
    #[error(
        "{} is not a data directory of Kontiki: it has no identity file but contains {found:?}. \
         Give an empty or a new directory with --data-dir",
        dir.display()
    )]
    NotOurs {
        dir: PathBuf,
        /// The name of one of them.
        found: String,
    },
    /// The identity file belongs to another cluster.
    #[error(
        "{} belongs to cluster {found} (token {found_token:?}), but this node was started with the token \
         {expected_token:?}. Check --data-dir and --cluster-token",
        dir.display()
    )]
    OtherCluster {
        dir: PathBuf,
        found: ClusterId,
        found_token: String,
        /// The token of the settings.
        expected_token: String,
    },
    /// The identity file belongs to another node of the cluster.
    #[error(
        "{} belongs to node {found} ({found_name:?}), but this node is {expected} ({expected_name:?}). \
         Check --data-dir and --name; two nodes never share a directory",
        dir.display()
    )]
    OtherNode { dir: PathBuf, found: NodeId, found_name: String, expected: NodeId, expected_name: String },
    /// It was written by a later version of Kontiki.
    #[error(
        "{} was written in format {found}, but this version of Kontiki reads up to format {newest}. \
         Run the version that wrote it, or a later one",
        path.display()
    )]
    NewerFormat {
        path: PathBuf,
        found: u64,
        /// The newest format that this version reads.
        newest: u32,
    },
    /// It was written by an earlier version of Kontiki.
    #[error(
        "{} was written in format {found}; this version of Kontiki reads no format older than {oldest}. \
         Run the version that wrote it",
        path.display()
    )]
    OlderFormat {
        path: PathBuf,
        found: u64,
        /// The oldest format that this version reads.
        oldest: u32,
    },
    /// Another process uses it.
    #[error(
        "{} is in use by another process{}. Only one process can use a data directory; stop that one first, \
         or give another directory with --data-dir",
        dir.display(),
        holder.as_ref().map(|pid| format!(" ({pid})")).unwrap_or_default()
    )]
    Locked {
        dir: PathBuf,
        /// The other process's id, if it left one.
        holder: Option<String>,
    },
    /// Part of it is missing. A fresh start would forget votes and acknowledged writes that the others still count on.
    #[error(
        "{} is missing, although the directory was in use before. Starting afresh would break promises that this \
         member made (its votes, its acknowledgements): restore it as it was, or see \"A member has lost its data\" in \
         docs/operations.md",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "{}: opening did not end within {timeout:?}. The disk or the engine's files failed; if the disk is merely \
         slow, start it again, else see \"A member has lost its data\" in docs/operations.md",
        dir.display()
    )]
    Hung { dir: PathBuf, timeout: Duration },
    #[error("{}: opening panicked: {reason}. The disk or the engine's files failed; see \"A member has lost its data\" in docs/operations.md", dir.display())]
    Panicked { dir: PathBuf, reason: String },
    /// Reading or writing it failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a received snapshot could not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The file is damaged; ask for it again.
    #[error(transparent)]
    File(#[from] SnapshotFileError),
    /// The snapshot is of another cluster.
    #[error("the snapshot is of cluster {found}, this node belongs to cluster {expected}")]
    OtherCluster { found: ClusterId, expected: ClusterId },
    #[error(transparent)]
    Storage(#[from] StorageError),
}
