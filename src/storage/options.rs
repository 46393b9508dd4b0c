//! How a data directory is opened.

use crate::storage::log::LogSettings;
use crate::types::{ClusterId, NodeId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    /// The directory; created if it does not exist.
    pub dir: PathBuf,
    /// The cluster that a new directory belongs to. An existing one says itself which cluster it belongs to.
    pub cluster: ClusterId,
    /// The members that found a new cluster, by name.
    pub founders: BTreeMap<NodeId, String>,
    /// The token of the cluster that the directory must belong to.
    pub cluster_token: String,
    /// The node that it must belong to.
    pub node: NodeId,
    /// The node's name, for messages to people.
    pub name: String,
    /// False (`--unsafe-no-fsync`): a power cut may lose acknowledged writes.
    pub fsync: bool,
    pub log: LogSettings,
    /// The page cache of the state, in bytes.
    pub cache_bytes: u64,
    /// When the state gives back disk space.
    pub vacuum: VacuumSettings,
    /// How long the opening may take before the disk counts as failed.
    pub open_timeout: Duration,
}

/// When a state gives back disk space, and in which steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VacuumSettings {
    /// When its file takes so many times as much as its records…
    pub times: u64,
    /// …and so many bytes.
    pub bytes: u64,
    /// How long a step may take, apart from a sync.
    pub step: Duration,
}

impl Default for VacuumSettings {
    /// sled's own cleaning keeps a file at two to three times its records; a few segments are always there.
    fn default() -> Self {
        Self { times: 3, bytes: 32 << 20, step: Duration::from_millis(20) }
    }
}
