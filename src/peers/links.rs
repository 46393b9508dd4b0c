//! All links, and what the tasks that work on them share: who this node is, who
//! is let in, the settings, the way to the replica, and the end.

use crate::api::remote::Responder;
use crate::peers::events::PeerEvents;
use crate::peers::identity::{Admission, Identity, KnownDirectories};
use crate::peers::link::{Link, PeerAddress};
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::peers::settings::PeerSettings;
use crate::types::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The links to the other nodes. A clone is the same links.
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
}

struct Inner {
    admission: Admission,
    /// This node, as its peers are given.
    own: PeerAddress,
    links: BTreeMap<NodeId, Arc<Link>>,
    settings: PeerSettings,
    replica: OnceLock<Replica>,
    stopping: watch::Receiver<bool>,
    runtime: tokio::runtime::Handle,
}

/// The node behind the connections.
struct Replica {
    events: Arc<dyn PeerEvents>,
    responder: Arc<dyn Responder>,
}

/// A member's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the peer address of {name} is no URL: {url:?}; expected http://host:port")]
pub struct BadAddress {
    name: String,
    url: String,
    source: tonic::transport::Error,
}

impl Links {
    /// One to each of the members but `own`. Nothing is connected yet. Must be
    /// called within a tokio runtime.
    pub fn new(
        own: Identity,
        members: Vec<PeerAddress>,
        known: Arc<dyn KnownDirectories>,
        settings: PeerSettings,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, BadAddress> {
        let mut own_address = PeerAddress { node: own.node, name: own.name.clone(), peer_url: String::new() };
        let mut links = BTreeMap::new();
        for address in members {
            if address.node == own.node {
                own_address = address;
                continue;
            }
            let (name, url) = (address.name.clone(), address.peer_url.clone());
            let link = Link::new(address, &settings).map_err(|source| BadAddress { name, url, source })?;
            links.insert(link.node(), Arc::new(link));
        }
        let admission = Admission::new(own, links.keys().copied(), known);
        let runtime = tokio::runtime::Handle::current();
        let replica = OnceLock::new();
        let inner = Inner { admission, own: own_address, links, settings, replica, stopping, runtime };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Names who is told and asked from now on. False: they are known already.
    pub fn open(&self, events: Arc<dyn PeerEvents>, responder: Arc<dyn Responder>) -> bool {
        self.inner.replica.set(Replica { events, responder }).is_ok()
    }

    /// Who is let in.
    pub fn admission(&self) -> &Admission {
        &self.inner.admission
    }

    /// This node, as its peers are given.
    pub fn own(&self) -> &PeerAddress {
        &self.inner.own
    }

    /// Bounds and times.
    pub fn settings(&self) -> &PeerSettings {
        &self.inner.settings
    }

    /// Where tasks run, for callers that are outside of it.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.inner.runtime
    }

    /// The link to a peer.
    pub fn get(&self, node: NodeId) -> Option<&Arc<Link>> {
        self.inner.links.get(&node)
    }

    /// All of them, in order of id.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.inner.links.values()
    }

    /// Who is told what peers say, once there is a replica.
    pub fn events(&self) -> Result<&Arc<dyn PeerEvents>, PeerRefusal> {
        self.replica().map(|replica| &replica.events)
    }

    /// Who answers what peers ask, once there is a replica.
    pub fn responder(&self) -> Result<&Arc<dyn Responder>, PeerRefusal> {
        self.replica().map(|replica| &replica.responder)
    }

    fn replica(&self) -> Result<&Replica, PeerRefusal> {
        self.inner.replica.get().ok_or_else(|| {
            PeerRefusal::new(
                RefusalKind::NotReady,
                format!("{} is starting; try again in a moment", self.inner.own.name),
            )
        })
    }

    /// Resolves when the node stops.
    pub async fn stopped(&self) {
        let mut stopping = self.inner.stopping.clone();
        // A sender that is gone means the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Reports a broken stream, unless the loss is known or this node itself is stopping.
    pub fn report_loss(&self, link: &Link) {
        if link.broke()
            && !*self.inner.stopping.borrow()
            && let Ok(events) = self.events()
        {
            events.peer_lost(link.node());
        }
    }
}
