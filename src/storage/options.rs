//! How a data directory is opened.

use crate::storage::log::LogSettings;
use crate::storage::vacuum::VacuumSettings;
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
    /// How much more space than its records the state may take.
    pub vacuum: VacuumSettings,
    /// How long the opening may take before the disk counts as failed.
    pub open_timeout: Duration,
}
