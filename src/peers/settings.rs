//! The settings of the connections to peers.

use crate::peers::secret::ClusterSecret;
use std::num::NonZeroU64;
use std::time::Duration;

/// Bounds and times of the connections to peers. Local to a node: members may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// What every connection begins with a proof of, if the cluster has one.
    pub cluster_secret: Option<ClusterSecret>,
    /// The most messages that wait for one peer; more are dropped.
    pub queue_messages: usize,
    /// About the most bytes that wait for one peer; more are dropped.
    pub queue_bytes: usize,
    /// The most questions to one peer, and from one, that may be under way at once; more are refused.
    pub questions: usize,
    /// The most bytes of commands among them.
    pub question_bytes: usize,
    /// About the most bytes of answers to one peer that it has not read yet.
    pub answer_bytes: usize,
    /// The largest message of a stream that is accepted from a peer, in bytes. Must exceed the core's largest batch plus
    /// the largest request by far: a message that is refused for its size would be sent again forever.
    pub message_bytes: usize,
    /// The most connections that are accepted: a peer has up to four, and some more while it dials again.
    pub connections: usize,
    /// The most of them from one address: a whole cluster may live on one machine.
    pub connections_per_address: usize,
    /// How much is read from a connection before a member has introduced itself on it, in bytes.
    pub stranger_bytes: usize,
    /// How long a connection may take, name resolution included.
    pub connect_timeout: Duration,
    /// How often a connection is probed.
    pub keepalive_interval: Duration,
    /// How long a probe may take until the connection counts as dead.
    pub keepalive_timeout: Duration,
    /// The first pause before another attempt to connect…
    pub backoff_min: Duration,
    /// …which doubles up to this.
    pub backoff_max: Duration,
    /// How often a peer that is refused, or refuses us, is tried again.
    pub refused_pause: Duration,
    /// How long a handshake may take. The first one waits for the peer's disk.
    pub handshake_timeout: Duration,
    /// How long a unary call may take, votes among them.
    pub call_timeout: Duration,
    /// How fast a snapshot is sent, in bytes per second; none: without limit.
    pub snapshot_bytes_per_second: Option<NonZeroU64>,
    /// How long a snapshot stream may stall, at either end.
    pub snapshot_idle: Duration,
    /// How long the receiver may take to install a snapshot that has arrived.
    pub snapshot_install: Duration,
    /// How often the same trouble with a peer is logged.
    pub log_interval: Duration,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            cluster_secret: None,
            queue_messages: 4096,
            queue_bytes: 32 << 20,
            questions: 16_384,
            question_bytes: 64 << 20,
            answer_bytes: 32 << 20,
            message_bytes: 16 << 20,
            connections: 256,
            connections_per_address: 192,
            stranger_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(1),
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            refused_pause: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(1),
            snapshot_bytes_per_second: NonZeroU64::new(64 << 20),
            snapshot_idle: Duration::from_secs(10),
            snapshot_install: Duration::from_secs(120),
            log_interval: Duration::from_secs(10),
        }
    }
}

impl PeerSettings {
    /// How long a connection may take until a member has introduced itself on it: for the handshake, and for the
    /// disk, which remembers the member's directory the first time.
    pub fn introduction_time(&self) -> Duration {
        self.handshake_timeout * 2
    }
}
