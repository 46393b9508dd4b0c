//! All links, and what their tasks share: this node's identity, admission, settings, the replica, and the
//! signal to stop.

use crate::api::remote::Responder;
use crate::member::Member;
use crate::peers::events::PeerEvents;
use crate::peers::identity::{Admission, Identity, KnownDirectories};
use crate::peers::link::Link;
use crate::peers::refusal::{PeerRefusal, RefusalKind};
use crate::peers::routes::Routes;
use crate::peers::settings::PeerSettings;
use crate::raft::Members;
use crate::types::NodeId;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// The links to the other nodes. Clones share them.
#[derive(Clone)]
pub struct Links {
    inner: Arc<Inner>,
}

struct Inner {
    admission: Admission,
    links: ArcSwap<BTreeMap<NodeId, Arc<Link>>>,
    /// The members' URLs in this node's own settings.
    given: BTreeMap<NodeId, Vec<String>>,
    settings: PeerSettings,
    replica: OnceLock<Replica>,
    /// Whom this new node waits for, in words; empty if for nobody.
    waiting_for: watch::Sender<String>,
    stopping: watch::Receiver<bool>,
    runtime: tokio::runtime::Handle,
}

/// The node behind the connections.
struct Replica {
    events: Arc<dyn PeerEvents>,
    responder: Arc<dyn Responder>,
}

#[derive(Debug, thiserror::Error)]
#[error("a peer address of {name} is not a valid URL: {urls:?}; expected http://host:port")]
pub struct BadAddress {
    name: String,
    urls: Vec<String>,
    source: tonic::transport::Error,
}

impl Links {
    /// One link to each of the `given` members but `own`, until the log says who is a member. Nothing is connected yet.
    /// Must be called within a tokio runtime.
    pub fn new(
        own: Identity,
        given: Vec<Member>,
        known: Arc<dyn KnownDirectories>,
        settings: PeerSettings,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, BadAddress> {
        let mut links = BTreeMap::new();
        for Member { id, name, peer_urls, .. } in given.iter().filter(|member| member.id != own.node) {
            let routes = Routes::new(peer_urls, &settings).map_err(|source| BadAddress {
                name: name.clone(),
                urls: peer_urls.clone(),
                source,
            })?;
            links.insert(*id, Arc::new(Link::new(*id, name.clone(), routes, &settings)));
        }
        let inner = Inner {
            admission: Admission::new(own, links.keys().copied(), known),
            links: ArcSwap::from_pointee(links),
            given: given.into_iter().map(|member| (member.id, member.peer_urls)).collect(),
            settings,
            replica: OnceLock::new(),
            waiting_for: watch::Sender::default(),
            stopping,
            runtime: tokio::runtime::Handle::current(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Adds and removes links so that there is one for each of these members, and returns the new ones, which are not
    /// connected yet. To be called by one task only.
    pub fn follow(&self, members: &Members) -> Vec<Arc<Link>> {
        let Inner { admission, links, given, settings, runtime, .. } = &*self.inner;
        let _context = runtime.enter();
        let (before, mut now, mut new) = (links.load_full(), BTreeMap::new(), Vec::new());
        for member in members.iter().filter(|member| member.id != admission.own().node) {
            let link = before.get(&member.id).cloned().or_else(|| {
                let given = given.get(&member.id).map_or(&[][..], Vec::as_slice);
                let routes = Routes::new(given, settings).ok()?; // Checked at the start.
                let link = Arc::new(Link::new(member.id, member.name.clone(), routes, settings));
                new.push(link.clone());
                Some(link)
            });
            if let Some(link) = link {
                link.routes.advertised(&member.peer_urls);
                now.insert(member.id, link);
            }
        }
        admission.follow(now.keys().copied());
        links.store(Arc::new(now.clone()));
        for (_, link) in before.iter().filter(|(node, _)| !now.contains_key(node)) {
            link.remove();
        }
        new
    }

    /// Sets who receives events and answers questions from now on. False: that was set already.
    pub fn open(&self, events: Arc<dyn PeerEvents>, responder: Arc<dyn Responder>) -> bool {
        self.inner.replica.set(Replica { events, responder }).is_ok()
    }

    /// Who is let in.
    pub fn admission(&self) -> &Admission {
        &self.inner.admission
    }

    /// Whom this new node waits for, in words; empty if for nobody.
    pub fn waiting_for(&self) -> &watch::Sender<String> {
        &self.inner.waiting_for
    }

    pub fn settings(&self) -> &PeerSettings {
        &self.inner.settings
    }

    /// The runtime, for callers outside of it.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.inner.runtime
    }

    /// The link to a peer.
    pub fn get(&self, node: NodeId) -> Option<Arc<Link>> {
        self.inner.links.load().get(&node).cloned()
    }

    /// All links, in order of id.
    pub fn all(&self) -> Vec<Arc<Link>> {
        self.inner.links.load().values().cloned().collect()
    }

    /// Where this node finds the members other than `asker` and itself.
    pub fn whereabouts(&self, asker: NodeId) -> impl Iterator<Item = Member> {
        let others = self.all().into_iter().filter(move |link| link.node() != asker);
        others.map(|link| Member {
            peer_urls: link.routes.known(),
            ..Member::named(link.node(), link.name.clone())
        })
    }

    /// A peer finds these members there.
    pub fn heard_of(&self, members: Vec<Member>) {
        for Member { id, peer_urls, .. } in members {
            if let Some(link) = self.get(id)
                && !peer_urls.is_empty()
            {
                link.routes.heard(&peer_urls);
            }
        }
    }

    /// Who receives events, once there is a replica.
    pub fn events(&self) -> Result<&Arc<dyn PeerEvents>, PeerRefusal> {
        self.replica().map(|replica| &replica.events)
    }

    /// Who answers questions, once there is a replica.
    pub fn responder(&self) -> Result<&Arc<dyn Responder>, PeerRefusal> {
        self.replica().map(|replica| &replica.responder)
    }

    fn replica(&self) -> Result<&Replica, PeerRefusal> {
        self.inner.replica.get().ok_or_else(|| {
            PeerRefusal::new(
                RefusalKind::NotReady,
                format!("{} is starting; try again in a moment", self.admission().own().name),
            )
        })
    }

    pub async fn stopped(&self) {
        let mut stopping = self.inner.stopping.clone();
        // A sender that is gone means the same.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Reports a broken stream, unless the loss was reported already or this node is stopping.
    pub fn report_loss(&self, link: &Link) {
        if link.broke()
            && !*self.inner.stopping.borrow()
            && let Ok(events) = self.events()
        {
            events.peer_lost(link.node());
        }
    }
}
