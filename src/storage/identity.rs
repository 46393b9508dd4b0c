//! Whose directory it is: a small text file that is written first and checked
//! before anything else is touched. From the founding on it says which cluster the node belongs to, whatever the
//! settings call its members by then.

use crate::storage::error::{OpenError, StorageError};
use crate::storage::options::Options;
use crate::storage::sealed_file;
use crate::types::{ClusterId, DirectoryId, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The format of the whole directory: the one that this version writes, and the only one that it reads. 9: journal,
/// log, state and the record of the peers name the directory that they belong to.
pub const FORMAT_VERSION: u32 = 9;

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The format of the directory.
    pub format_version: u32,
    /// The cluster that the node belongs to.
    pub cluster: ClusterId,
    /// The members that founded it, by name.
    pub founders: BTreeMap<NodeId, String>,
    /// The token that the cluster's id is derived from.
    pub cluster_token: String,
    pub node: NodeId,
    pub name: String,
    /// A random number, chosen when the directory was created. A member that comes back with another one was
    /// wiped: it has forgotten its votes and acknowledgements.
    pub directory: DirectoryId,
    /// Whether the peers have accepted `directory`.
    pub introduced: bool,
}

/// The file's content. Ids are text, since many JSON parsers round large numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    format_version: u32,
    cluster: String,
    cluster_token: String,
    /// Ids by name.
    founders: BTreeMap<String, String>,
    node: String,
    name: String,
    directory: String,
    /// False until the log and the state exist durably. Until then nothing was promised, and the rest of the
    /// directory may be created again.
    complete: bool,
    introduced: bool,
}

#[derive(Debug)]
pub struct IdentityFile {
    path: PathBuf,
    identity: Identity,
    complete: bool,
}

impl IdentityFile {
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Records durably that the peers have accepted this directory.
    pub fn mark_introduced(&mut self) -> Result<(), StorageError> {
        if !self.identity.introduced {
            self.identity.introduced = true;
            self.save()?;
        }
        Ok(())
    }

    /// Whether log and state were once created in full.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Records durably that they were: from now on their absence is a loss.
    pub(crate) fn mark_complete(&mut self) -> Result<(), StorageError> {
        self.complete = true;
        self.save()
    }

    /// Creates the identity of a new directory, which is not complete yet.
    pub(crate) fn create(path: &Path, options: &Options) -> Result<Self, StorageError> {
        let this = Self {
            path: path.to_owned(),
            complete: false,
            identity: Identity {
                format_version: FORMAT_VERSION,
                cluster: options.cluster,
                founders: options.founders.clone(),
                cluster_token: options.cluster_token.clone(),
                node: options.node,
                name: options.name.clone(),
                directory: DirectoryId(fastrand::u64(1..)),
                introduced: false,
            },
        };
        this.save()?;
        Ok(this)
    }

    /// Reads the identity; `None` if there is no file. A file of another version is refused before the rest
    /// of it is parsed.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, OpenError> {
        let Some(value) = sealed_file::read(path)? else {
            return Ok(None);
        };
        let version = value.get("format_version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if version > u64::from(FORMAT_VERSION) {
            return Err(OpenError::NewerFormat {
                path: path.to_owned(),
                found: version,
                newest: FORMAT_VERSION,
            });
        }
        if version < u64::from(FORMAT_VERSION) {
            return Err(OpenError::OlderFormat {
                path: path.to_owned(),
                found: version,
                oldest: FORMAT_VERSION,
            });
        }
        let damaged = |reason: String| StorageError::damaged(path, "identity", reason);
        let content: Content = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        let hex = |field: &str, text: &str| {
            u64::from_str_radix(text, 16)
                .map_err(|_| damaged(format!("{field} {text:?} is not a hexadecimal number")))
        };
        let founder = |(name, id): (String, String)| Ok((NodeId(hex("founder", &id)?), name));
        let founders = content.founders.into_iter().map(founder).collect::<Result<_, StorageError>>()?;
        let identity = Identity {
            format_version: content.format_version,
            cluster: ClusterId(hex("cluster", &content.cluster)?),
            founders,
            cluster_token: content.cluster_token,
            node: NodeId(hex("node", &content.node)?),
            name: content.name,
            directory: DirectoryId(hex("directory", &content.directory)?),
            introduced: content.introduced,
        };
        Ok(Some(Self { path: path.to_owned(), identity, complete: content.complete }))
    }

    /// Founds anew, unless the peers have seen this directory: up to then it took part in nothing, and a list of
    /// founders that was mistyped may be put right.
    pub(crate) fn found_unless_introduced(&mut self, options: &Options) -> Result<(), StorageError> {
        if self.identity.introduced || self.identity.cluster == options.cluster {
            return Ok(());
        }
        (self.identity.cluster, self.identity.founders) = (options.cluster, options.founders.clone());
        // Log and state name the cluster that is none.
        self.complete = false;
        self.save()
    }

    /// Refuses a directory that belongs to another node or cluster, whatever founders the settings name.
    pub(crate) fn check(&self, options: &Options) -> Result<(), OpenError> {
        let Identity { cluster, cluster_token, node, name, .. } = &self.identity;
        if *cluster_token != options.cluster_token {
            return Err(OpenError::OtherCluster {
                dir: options.dir.clone(),
                found: *cluster,
                found_token: cluster_token.clone(),
                expected_token: options.cluster_token.clone(),
            });
        }
        if *node != options.node {
            return Err(OpenError::OtherNode {
                dir: options.dir.clone(),
                found: *node,
                found_name: name.clone(),
                expected: options.node,
                expected_name: options.name.clone(),
            });
        }
        Ok(())
    }

    fn save(&self) -> Result<(), StorageError> {
        let identity = &self.identity;
        let content = Content {
            format_version: identity.format_version,
            cluster: format!("{:x}", identity.cluster.get()),
            founders: identity
                .founders
                .iter()
                .map(|(id, name)| (name.clone(), format!("{:x}", id.get())))
                .collect(),
            cluster_token: identity.cluster_token.clone(),
            node: format!("{:x}", identity.node.get()),
            name: identity.name.clone(),
            directory: format!("{:x}", identity.directory.get()),
            complete: self.complete,
            introduced: identity.introduced,
        };
        sealed_file::write(&self.path, &content)
    }
}
