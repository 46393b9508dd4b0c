//! The numbers that steer a node, with their defaults and reasons. Plain values: [`config`](crate::config)
//! reads and checks them.

use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// Limits of requests. Each is refused with its name, the limit and the actual value; shown by `kontiki
/// status`. Those that decide whether a command is applied are recorded in the replicated state when the
/// cluster is founded; the others are each node's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest key in bytes.
    pub key_bytes: usize,
    /// The largest request, as encoded, in bytes.
    pub request_bytes: usize,
    /// The most operations in a branch of a transaction, nested ones included, and the most compares.
    pub txn_ops: usize,
    /// The most keys in a page.
    pub page_keys: u64,
    /// About the most bytes in a page (at least one key is answered).
    pub page_bytes: u64,
    /// About the most bytes in a chunk of a scan.
    pub scan_chunk_bytes: u64,
    /// The most bytes that a command may answer (previous values, reads in a
    /// transaction). Fixed: all nodes must refuse alike.
    pub reply_bytes: u64,
    /// The most connections of clients; the limit of open files may allow fewer.
    pub connections: usize,
    /// The most of them from one address (in IPv6, one /64 network).
    pub connections_per_address: usize,
    /// The most streams that one client connection may have open at once.
    pub streams_per_connection: u32,
    /// The most requests in progress on one node; more are refused at once.
    pub requests_in_flight: usize,
    /// The most bytes of requests that arrive or are in progress on one node.
    pub request_memory_bytes: usize,
    /// About the most bytes of answers that clients of one node have not read yet.
    pub answer_memory_bytes: usize,
    /// How long a request without a deadline may take, and how long any may take to arrive.
    pub default_deadline: Duration,
}

impl Limits {
    /// The operations and compares of a transaction in all its branches together may be so many times `txn_ops`.
    pub const ALL_BRANCHES: usize = 8;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 8 << 10,
            request_bytes: 1536 << 10,
            txn_ops: 128,
            page_keys: 10_000,
            page_bytes: 4 << 20,
            scan_chunk_bytes: 256 << 10,
            reply_bytes: 4 << 20,
            connections: 4096,
            connections_per_address: 2048,
            streams_per_connection: 1024,
            requests_in_flight: 16_384,
            request_memory_bytes: 128 << 20,
            answer_memory_bytes: 128 << 20,
            default_deadline: Duration::from_secs(10),
        }
    }
}

/// What all members must share, by name. A peer with other values is refused, and told which they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSettings(pub Vec<(&'static str, u64)>);

impl SharedSettings {
    /// A hash of the values, which peers compare. Their order is part of the peers' protocol.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for (_, value) in &self.0 {
            hash.update(&value.to_le_bytes());
        }
        hash.digest()
    }
}

/// How fast the cluster notices and reacts. All members must share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The unit of the core's logical time.
    pub tick: Duration,
    /// How often a leader shows that it is alive.
    pub heartbeat: Duration,
    /// A follower that hears nothing for a random time between this…
    pub election_min: Duration,
    /// …and this asks for an election.
    pub election_max: Duration,
}

impl Default for Timing {
    /// The LAN preset.
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(10),
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
        }
    }
}

impl Timing {
    /// The preset with this name: `lan`, `fast` or `wan`.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "lan" => Some(Self::default()),
            "fast" => Some(Self::fast()),
            "wan" => Some(Self::wan()),
            _ => None,
        }
    }

    /// One rack, idle machines: failover in about a tenth of a second.
    pub fn fast() -> Self {
        Self {
            tick: Duration::from_millis(5),
            heartbeat: Duration::from_millis(20),
            election_min: Duration::from_millis(100),
            election_max: Duration::from_millis(200),
        }
    }

    /// Between regions: round trips of up to about 200 ms.
    pub fn wan() -> Self {
        Self {
            tick: Duration::from_millis(50),
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(1500),
            election_max: Duration::from_millis(3000),
        }
    }
}
