//! Warns if the other members cannot reach this node at the URL that it advertises.

use crate::address::{HostPort, NodeUrl};
use crate::config::ServeConfig;
use crate::peers::Peers;
use std::time::Duration;

/// By then every other member that runs has called, if it can.
const PATIENCE: Duration = Duration::from_secs(15);

/// Different ports are right behind a port mapping, and otherwise a mistake.
pub(super) fn warn_of_ports(config: &ServeConfig) {
    if config.initial_cluster.len() > 1
        && let (Ok(listen), Ok(NodeUrl(advertised))) =
            (HostPort::parse(&config.listen_peer), NodeUrl::parse(&config.advertise_peer))
        && listen.port != advertised.port
    {
        tracing::warn!(
            listen = config.listen_peer,
            advertised = config.advertise_peer,
            "the other members will dial another port than this node listens on; unless something maps one to \
             the other, correct --listen-peer or --advertise-peer",
        );
    }
}

/// Says once that nobody has reached this node, if so.
pub(super) async fn watch(peers: Peers, url: String, stopping: impl Future<Output = ()>) {
    tokio::select! {
        () = tokio::time::sleep(PATIENCE) => {}
        () = stopping => return,
    }
    if peers.has_others() && !peers.is_reached() {
        tracing::warn!(
            url,
            "no other member has reached this node within {} s; if any is running, check that {url} \
             (--advertise-peer) leads here",
            PATIENCE.as_secs(),
        );
    }
}
