//! Where a peer is dialled: first the URLs in the log, then those in the peer's last hello, then those at which another
//! member finds it, then those in this node's own settings. The later ones are for when the first do not help: the peer
//! has moved and could not advertise that yet, or this node was away meanwhile, or the whole cluster has moved.

use crate::peers::connection;
use crate::peers::settings::PeerSettings;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tonic::transport::{Channel, Endpoint, Error};

/// One address of a peer.
pub struct Route {
    /// As it was written.
    pub url: String,
    /// The address to connect to.
    pub endpoint: Endpoint,
    /// For votes, transfers and introductions, so that none of them waits behind anything larger.
    pub calls: Channel,
}

impl Route {
    fn new(url: &str, settings: &PeerSettings) -> Result<Arc<Self>, Error> {
        let endpoint = connection::endpoint(url, settings)?;
        Ok(Arc::new(Self {
            url: url.to_owned(),
            calls: connection::connect_lazy(&endpoint, settings),
            endpoint,
        }))
    }
}

/// All addresses of a peer, one of which is current. While the append stream is open it is the stream's, whatever is said
/// meanwhile: a peer may be named where this node does not reach it (as behind a NAT), and if votes went there, nothing
/// would ever make this node look elsewhere. Without a stream the dialer tries one after the other, and everybody else
/// uses the current one.
pub struct Routes {
    settings: PeerSettings,
    choice: Mutex<Choice>,
}

struct Choice {
    /// From the log, from the peer's hello, from another member, from this node's settings.
    sources: [Vec<String>; 4],
    /// One for each of these URLs.
    routes: Vec<Arc<Route>>,
    at: usize,
    /// The one that holds the stream.
    in_use: Option<Arc<Route>>,
}

impl Choice {
    fn current(&self) -> Option<&Arc<Route>> {
        self.in_use.as_ref().or_else(|| self.routes.get(self.at))
    }

    /// Tries this one first when there is no stream any more.
    fn turn_to(&mut self, route: &Route) {
        self.at = self.routes.iter().position(|known| known.url == route.url).unwrap_or(0);
    }
}

/// Keeps a route current until it is dropped.
pub struct InUse<'a>(&'a Routes);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.choice().in_use = None;
    }
}

const ADVERTISED: usize = 0;
const SAID: usize = 1;
const HEARD: usize = 2;
const GIVEN: usize = 3;
/// The most URLs that another member is told, as [`Member::check`](crate::member::Member::check) allows.
const KNOWN_MAX: usize = 8;

impl Routes {
    /// Starts with the URLs in this node's settings. Must be called within a tokio runtime.
    pub fn new(given: &[String], settings: &PeerSettings) -> Result<Self, Error> {
        let routes = given.iter().map(|url| Route::new(url, settings)).collect::<Result<_, _>>()?;
        let mut sources = <[Vec<String>; 4]>::default();
        given.clone_into(&mut sources[GIVEN]);
        Ok(Self {
            settings: settings.clone(),
            choice: Mutex::new(Choice { sources, routes, at: 0, in_use: None }),
        })
    }

    /// The one to use; `None` if no address is known.
    pub fn current(&self) -> Option<Arc<Route>> {
        self.choice().current().cloned()
    }

    /// The append stream to the peer is open on this route.
    pub fn hold(&self, route: &Arc<Route>) -> InUse<'_> {
        let mut choice = self.choice();
        choice.in_use = Some(route.clone());
        choice.turn_to(route);
        InUse(self)
    }

    /// The peer was not reached by this route: the next one becomes current. Returns whether all were tried.
    pub fn failed(&self, route: &Arc<Route>) -> bool {
        let mut choice = self.choice();
        let is_current = choice.routes.get(choice.at).is_some_and(|current| Arc::ptr_eq(current, route));
        if is_current {
            choice.at = (choice.at + 1) % choice.routes.len();
        }
        is_current && choice.at == 0
    }

    /// The URLs in the log.
    pub fn advertised(&self, urls: &[String]) {
        self.follow(ADVERTISED, urls);
    }

    /// The URLs in the peer's hello.
    pub fn said(&self, urls: &[String]) {
        self.follow(SAID, urls);
    }

    /// The URLs at which another member finds it.
    pub fn heard(&self, urls: &[String]) {
        self.follow(HEARD, urls);
    }

    /// What this node would tell another: what the log and the peer itself say.
    pub fn known(&self) -> Vec<String> {
        let choice = self.choice();
        let mut known: Vec<String> = Vec::new();
        // The log follows what the peer says.
        for url in choice.sources[SAID].iter().chain(&choice.sources[ADVERTISED]) {
            if known.len() < KNOWN_MAX && !known.contains(url) {
                known.push(url.clone());
            }
        }
        known
    }

    /// What is new is tried from the beginning, unless there is a stream.
    fn follow(&self, source: usize, urls: &[String]) {
        let mut choice = self.choice();
        if choice.sources[source] == urls {
            return;
        }
        urls.clone_into(&mut choice.sources[source]);
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for url in choice.sources.iter().flatten() {
            if routes.iter().any(|route| route.url == *url) {
                continue;
            }
            match choice.routes.iter().find(|known| known.url == *url) {
                Some(known) => routes.push(known.clone()),
                None => match Route::new(url, &self.settings) {
                    Ok(route) => routes.push(route),
                    Err(error) => tracing::warn!(url, "a peer's address cannot be used: {error}"),
                },
            }
        }
        (choice.routes, choice.at) = (routes, 0);
        if let Some(in_use) = choice.in_use.clone() {
            choice.turn_to(&in_use);
        }
    }

    fn choice(&self) -> MutexGuard<'_, Choice> {
        // Its holders only read and assign, so poisoning means nothing.
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("http://{name}:1")).collect()
    }

    fn at(routes: &Routes) -> String {
        routes.current().map(|route| route.endpoint.uri().host().unwrap().to_owned()).unwrap_or_default()
    }

    fn fail(routes: &Routes) -> bool {
        routes.failed(&routes.current().unwrap())
    }

    #[tokio::test]
    async fn what_is_advertised_comes_first_and_what_was_told_stays() {
        let routes = Routes::new(&urls(&["told"]), &PeerSettings::default()).unwrap();
        assert_eq!((at(&routes), fail(&routes)), ("told".into(), true));
        routes.advertised(&urls(&["a", "b"]));
        routes.said(&urls(&["b", "c"]));
        for (host, was_last) in [("a", false), ("b", false), ("c", false), ("told", true), ("a", false)] {
            assert_eq!((at(&routes), fail(&routes)), (host.into(), was_last));
        }
        routes.said(&[]);
        assert_eq!((at(&routes), fail(&routes), at(&routes)), ("a".into(), false, "b".into()));
        let stale = routes.current().unwrap();
        routes.advertised(&urls(&["d", "told"]));
        assert_eq!(at(&routes), "d");
        assert!(!routes.failed(&stale), "a failure of an older route changes nothing");
        assert_eq!(at(&routes), "d");
        let nowhere = Routes::new(&[], &PeerSettings::default()).unwrap();
        assert!(nowhere.current().is_none());
        nowhere.said(&urls(&["a"]));
        assert_eq!((at(&nowhere), fail(&nowhere)), ("a".into(), true));
    }

    #[tokio::test]
    async fn the_route_of_the_stream_stays_current_whatever_is_said() {
        let routes = Routes::new(&urls(&["told"]), &PeerSettings::default()).unwrap();
        let stream = routes.hold(&routes.current().unwrap());
        routes.advertised(&urls(&["a"]));
        routes.said(&urls(&["b"]));
        routes.heard(&urls(&["c"]));
        assert_eq!(at(&routes), "told");
        drop(stream);
        assert_eq!((at(&routes), fail(&routes), at(&routes)), ("told".into(), true, "a".into()));
        let stream = routes.hold(&routes.current().unwrap());
        routes.advertised(&[]);
        assert_eq!(at(&routes), "a", "nobody names it any more, but it works");
        drop(stream);
        assert_eq!(at(&routes), "b", "and nobody dials it again");
    }
}
