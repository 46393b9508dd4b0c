//! Who a peer is, and whether it is admitted.
//!
//! Each call begins with a [`pb::Sender`], and each side checks the other's before any of its messages may
//! reach the core. What is compared:
//!
//! | fact | guards against |
//! |---|---|
//! | cluster id | two clusters whose addresses were mixed up |
//! | recipient | an address that now belongs to another node |
//! | node id | a node that is not a member |
//! | settings | members with another timing, or another peer protocol |
//! | cluster version | a program that does not know everything that the log may hold ([`machine`](crate::machine)) |
//! | directory id | a member that lost its disk: it forgot its votes and its log, and would break promises |

use crate::machine::ClusterVersion;
use crate::member::Member;
use crate::peers::disagreement;
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::proto::raft as pb;
use crate::settings::SharedSettings;
use crate::types::{ClusterId, DirectoryId, NodeId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub directory: DirectoryId,
    /// A random number for this run of the program; 0: none.
    pub process: u64,
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, for those who came to the wrong listener.
    pub client_url: String,
    /// The settings that all members must share.
    pub settings: SharedSettings,
    /// The names of the members that founded its cluster, or will.
    pub founders: Vec<String>,
    /// The newest cluster version that its program knows.
    pub supports: ClusterVersion,
}

impl Identity {
    /// As sent to a peer.
    pub fn sender(&self, recipient: NodeId) -> pb::Sender {
        pb::Sender {
            cluster_id: self.cluster.get(),
            node_id: self.node.get(),
            directory_id: self.directory.get(),
            recipient_id: recipient.get(),
            settings_fingerprint: self.settings.fingerprint(),
            name: self.name.clone(),
            cluster_version: self.supports.get(),
            peer_urls: self.peer_urls.clone(),
            process_id: self.process,
            shared_settings: disagreement::settings_to_wire(&self.settings),
        }
    }

    /// Introduces it to a peer.
    pub fn introduction(&self, recipient: NodeId) -> pb::IntroduceRequest {
        pb::IntroduceRequest { sender: Some(self.sender(recipient)), founders: self.founders.clone() }
    }
}

/// Which data directory each peer presented first. Must survive restarts: `Ok` means that it is durable.
pub trait KnownDirectories: Send + Sync + 'static {
    /// Compares the directory with the known one, or stores it if there is
    /// none. May block on the disk.
    fn remember(&self, peer: NodeId, directory: DirectoryId) -> Result<(), RememberError>;
}

/// A peer's directory was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RememberError {
    /// The peer is known with another one.
    #[error("it is known with data directory {known:016x}", known = .known.0)]
    Differs { known: DirectoryId },
    /// It could not be stored; the peer may try again.
    #[error("its data directory could not be noted: {0}")]
    NotStored(String),
}

/// A peer that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    pub node: NodeId,
    /// Its run of the program.
    pub process: u64,
    /// Its own peer URLs.
    pub peer_urls: Vec<String>,
    /// The newest cluster version that its program knows.
    pub supports: ClusterVersion,
}

/// Decides which peers are admitted.
pub struct Admission {
    own: Identity,
    known: Arc<dyn KnownDirectories>,
    /// The other members, each with the directory that `known` has confirmed since the start, so that only the
    /// first call of a peer waits for the disk.
    members: Mutex<BTreeMap<NodeId, Option<DirectoryId>>>,
    /// The cluster's version, as far as this node knows.
    required: AtomicU32,
    /// Whether a member has called this node.
    reached: AtomicBool,
}

impl Admission {
    /// Of the other members, by this node.
    pub fn new(
        own: Identity,
        members: impl IntoIterator<Item = NodeId>,
        known: Arc<dyn KnownDirectories>,
    ) -> Self {
        let members = Mutex::new(members.into_iter().map(|node| (node, None)).collect());
        let required = AtomicU32::new(ClusterVersion::FOUNDING.get());
        Self { own, known, members, required, reached: AtomicBool::new(false) }
    }

    /// These are the other members from now on.
    pub fn follow(&self, members: impl IntoIterator<Item = NodeId>) {
        let mut known = self.members();
        *known = members.into_iter().map(|node| (node, known.get(&node).copied().flatten())).collect();
    }

    /// The cluster has this version: programs that do not support it are not admitted any more.
    pub fn require(&self, version: ClusterVersion) {
        self.required.fetch_max(version.get(), Ordering::Relaxed);
    }

    pub fn own(&self) -> &Identity {
        &self.own
    }

    /// Whether a member has called this node since its start.
    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Checks the sender of a call. The first time it waits for the disk.
    pub async fn admit(&self, sender: Option<pb::Sender>) -> Result<Acquaintance, PeerRefusal> {
        let admitted = self.check(sender).await;
        if admitted.is_ok() {
            self.reached.store(true, Ordering::Relaxed);
        }
        admitted
    }

    /// Checks who introduces itself. If it belongs to another cluster, the refusal says how the foundings differ.
    pub async fn admit_introduced(&self, request: pb::IntroduceRequest) -> Result<Acquaintance, PeerRefusal> {
        let pb::IntroduceRequest { sender, founders } = request;
        let name = sender.as_ref().map(|sender| sender.name.clone()).unwrap_or_default();
        self.admit(sender).await.map_err(|refusal| match refusal.kind {
            RefusalKind::WrongCluster => {
                disagreement::about_founders(&name, &founders, &self.own.name, &self.own.founders)
                    .map_or(refusal, |text| PeerRefusal::new(RefusalKind::WrongCluster, text))
            }
            _ => refusal,
        })
    }

    async fn check(&self, sender: Option<pb::Sender>) -> Result<Acquaintance, PeerRefusal> {
        let Some(sender) = sender else {
            return Err(PeerRefusal::new(
                RefusalKind::UnknownMember,
                "the message does not say who sends it".into(),
            ));
        };
        self.compare(&sender)?;
        let node = NodeId(sender.node_id);
        self.confirm(node, DirectoryId(sender.directory_id), &sender.name).await?;
        let supports = ClusterVersion(sender.cluster_version);
        Ok(Acquaintance { node, process: sender.process_id, peer_urls: sender.peer_urls, supports })
    }

    /// Checks who answered a call to `expected`.
    pub async fn admit_as(
        &self,
        expected: NodeId,
        sender: Option<pb::Sender>,
    ) -> Result<Acquaintance, PeerRefusal> {
        if let Some(sender) = &sender
            && sender.cluster_id == self.own.cluster.get()
            && sender.node_id != expected.get()
        {
            let text = format!(
                "node {} ({:?}) answers at the address of node {expected}; check --advertise-peer and --initial-cluster of both",
                sender.node_id, sender.name
            );
            return Err(PeerRefusal::new(RefusalKind::WrongRecipient, text));
        }
        self.check(sender).await
    }

    fn compare(&self, sender: &pb::Sender) -> Result<(), PeerRefusal> {
        let refuse = |reason, text| Err(PeerRefusal::new(reason, text));
        let said = Member {
            peer_urls: sender.peer_urls.clone(),
            ..Member::named(NodeId(sender.node_id), &sender.name)
        };
        if let Err(invalid) = said.check() {
            return refuse(RefusalKind::UnknownMember, invalid.to_string());
        }
        let Identity { cluster, node, name, settings, .. } = &self.own;
        if sender.cluster_id != cluster.get() {
            return refuse(
                RefusalKind::WrongCluster,
                format!(
                    "{:?} is of another cluster than {name:?}; \
                     check --data-dir of both, and --initial-cluster and --cluster-token with which they were made",
                    sender.name
                ),
            );
        }
        if sender.recipient_id != node.get() {
            return refuse(
                RefusalKind::WrongRecipient,
                format!(
                    "{:?} speaks to node {}, but this is node {node} ({name:?}); check --advertise-peer and --initial-cluster of both",
                    sender.name, sender.recipient_id
                ),
            );
        }
        let peer = NodeId(sender.node_id);
        if peer == *node || !self.members().contains_key(&peer) {
            return refuse(
                RefusalKind::UnknownMember,
                format!(
                    "{:?} (node {peer}) is not one of the other members of the cluster that {name:?} knows; \
                     check --name and --data-dir of both",
                    sender.name
                ),
            );
        }
        if sender.settings_fingerprint != settings.fingerprint() {
            return refuse(RefusalKind::SettingsDiffer, disagreement::about_settings(sender, name, settings));
        }
        let required = self.required.load(Ordering::Relaxed);
        if sender.cluster_version < required {
            return refuse(
                RefusalKind::VersionTooOld,
                format!(
                    "{:?} runs a program that supports cluster versions up to {}, but the cluster has version \
                     {required}; start it with a program that knows that, on the same data directory",
                    sender.name, sender.cluster_version
                ),
            );
        }
        Ok(())
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<NodeId, Option<DirectoryId>>> {
        // Its holders only read and assign, so poisoning means nothing.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn confirm(&self, peer: NodeId, directory: DirectoryId, name: &str) -> Result<(), PeerRefusal> {
        if directory == DirectoryId(0) {
            let text = format!("{name:?} has no data directory id");
            return Err(PeerRefusal::new(RefusalKind::UnknownMember, text));
        }
        if self.members().get(&peer) == Some(&Some(directory)) {
            return Ok(());
        }
        let known = self.known.clone();
        let outcome = tokio::task::spawn_blocking(move || known.remember(peer, directory)).await;
        match outcome {
            Ok(Ok(())) => {
                if let Some(confirmed) = self.members().get_mut(&peer) {
                    *confirmed = Some(directory);
                }
                Ok(())
            }
            Ok(Err(RememberError::Differs { .. })) => Err(PeerRefusal::new(
                RefusalKind::MemberWiped,
                format!(
                    "{name:?} (node {peer}) comes with another data directory than before: it lost what it \
                     promised and must not take part as the same member. Bring its old data directory back. \
                     (Members cannot be replaced yet; a cluster that never held data may be started afresh by \
                     removing the data directories of all its nodes)"
                ),
            )),
            Ok(Err(error @ RememberError::NotStored(_))) => {
                Err(PeerRefusal::new(RefusalKind::NotReady, format!("{name:?} (node {peer}): {error}")))
            }
            Err(_) => Err(PeerRefusal::new(RefusalKind::NotReady, "this node is stopping".into())),
        }
    }
}
