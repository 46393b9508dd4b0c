//! The connections: one lazy channel for each node, and who led last.

use crate::address::NodeUrl;
use crate::client::error::Failure;
use crate::coalescing;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};

/// More nodes than any cluster has: a bound against servers that keep naming new leaders.
const MOST_NODES: usize = 64;

/// Notices a node that is connected and silent, such as a frozen one.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long the answer to a keep-alive may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The nodes that a client talks to.
#[derive(Debug)]
pub(super) struct Nodes {
    endpoints: Vec<NodeUrl>,
    connect_timeout: Duration,
    state: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    channels: BTreeMap<NodeUrl, Channel>,
    /// When they answered last.
    heard: BTreeMap<NodeUrl, Instant>,
    preferred: Option<NodeUrl>,
    /// Which cluster answered first.
    cluster: Option<u64>,
}

impl Nodes {
    pub(super) fn new(endpoints: Vec<NodeUrl>, connect_timeout: Duration) -> Self {
        Self { endpoints, connect_timeout, state: Mutex::default() }
    }

    /// The nodes that the caller named, in that order.
    pub(super) fn endpoints(&self) -> &[NodeUrl] {
        &self.endpoints
    }

    /// The node to ask first: who led or answered last.
    pub(super) fn preferred(&self) -> Option<NodeUrl> {
        self.state().preferred.clone()
    }

    /// Remembers whom to ask first.
    pub(super) fn prefer(&self, node: &NodeUrl) {
        self.state().preferred = Some(node.clone());
    }

    /// The node has answered.
    pub(super) fn heard(&self, node: &NodeUrl) {
        self.state().heard.insert(node.clone(), Instant::now());
    }

    /// The cluster that answered first, and from now on `cluster` if none has yet.
    pub(super) fn cluster_or(&self, cluster: u64) -> u64 {
        *self.state().cluster.get_or_insert(cluster)
    }

    /// Whether the node has answered within this time.
    pub(super) fn is_heard(&self, node: &NodeUrl, within: Duration) -> bool {
        self.state().heard.get(node).is_some_and(|then| then.elapsed() < within)
    }

    /// How long to wait for a connection.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Forgets to ask `node` first, and that it has answered.
    pub(super) fn avoid(&self, node: &NodeUrl) {
        let mut state = self.state();
        state.heard.remove(node);
        if state.preferred.as_ref() == Some(node) {
            state.preferred = None;
        }
    }

    /// The channel to `node`. It connects when it is first used, and again
    /// after it broke, resolving the name again each time.
    pub(super) fn channel(&self, node: &NodeUrl) -> Result<Channel, Failure> {
        let mut state = self.state();
        if let Some(channel) = state.channels.get(node) {
            return Ok(channel.clone());
        }
        if state.channels.len() >= MOST_NODES {
            return Err(Failure::Usage(format!("more than {MOST_NODES} nodes are known; connect again")));
        }
        let endpoint = Endpoint::from_shared(node.to_string())
            .map_err(|error| Failure::Usage(format!("{node} is not an endpoint: {error}")))?
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let channel = endpoint.connect_with_connector_lazy(coalescing::connector(self.connect_timeout));
        state.channels.insert(node.clone(), channel.clone());
        Ok(channel)
    }

    fn state(&self) -> MutexGuard<'_, Connections> {
        // A panic elsewhere cannot leave these maps half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
