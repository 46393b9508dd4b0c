//! Where an attack takes place: a cluster, and what cases do to prepare it.

use super::case::{Disks, Ground, Innocents};
use crate::cluster::harness::{Cluster, Node, Setup, put, until};
use crate::faults::disk::Disk;
use futures_util::future::join_all;
use kontiki::connections::descriptors;
use kontiki::proto::v1;
use std::net::{Ipv4Addr, SocketAddr};

/// How many transactions load keys at a time.
const LOADERS: usize = 8;
/// Operations in each.
const BATCH: usize = 128;
/// Bytes in each, about.
const BATCH_BYTES: usize = 512 << 10;

/// Of this process: the attackers' ends.
const OWN_DESCRIPTORS: usize = 16_384;

pub struct Arena {
    pub cluster: Cluster,
    /// At the start.
    pub leader: usize,
    /// The one that is attacked where the attack is on one follower.
    pub follower: usize,
    /// One for each node, or none.
    pub disks: Vec<Disk>,
    innocents: Innocents,
}

impl Arena {
    pub async fn build(ground: &Ground) -> Self {
        descriptors::raise(OWN_DESCRIPTORS);
        let disks: Vec<Disk> = match ground.disks {
            Disks::Usual => Vec::new(),
            Disks::Faulty => (1..=3).map(|seed| Disk::mount(seed).unwrap()).collect(),
        };
        let prefix = if ground.ulimit.is_empty() { Vec::new() } else { Setup::under_ulimit(ground.ulimit) };
        let mut cluster = Cluster::prepare(Setup {
            arguments: ground.flags.iter().map(|flag| (*flag).to_owned()).collect(),
            prefix,
            data: disks.iter().map(|disk| disk.join("data")).collect(),
            ..Setup::default()
        })
        .await;
        if ground.secret {
            let path = cluster.dir.path().join("secret");
            std::fs::write(&path, "of this arena, known to all of its nodes").unwrap();
            for node in &mut cluster.nodes {
                node.add_arguments(&["--cluster-secret-file", path.to_str().unwrap()]);
            }
        }
        cluster.start_all();
        let leader = cluster.leader().await;
        for node in &cluster.nodes {
            node.ready().await;
        }
        let follower = cluster.other_than(leader);
        Self { cluster, leader, follower, disks, innocents: ground.innocents }
    }

    pub fn leader(&self) -> &Node {
        &self.cluster.nodes[self.leader]
    }

    pub fn follower(&self) -> &Node {
        &self.cluster.nodes[self.follower]
    }

    /// The addresses of all nodes' client and peer ports.
    pub fn ports(&self) -> [Vec<SocketAddr>; 2] {
        let at = |port: fn(&Node) -> u16| {
            let address = |node| (Ipv4Addr::LOCALHOST, port(node)).into();
            self.cluster.nodes.iter().map(address).collect()
        };
        [at(|node| node.client_port), at(|node| node.peer_port)]
    }

    /// Where the innocent clients are.
    pub fn spared(&self) -> Vec<&Node> {
        let spared =
            |(place, _): &(usize, &Node)| self.innocents == Innocents::Everywhere || *place != self.follower;
        self.cluster.nodes.iter().enumerate().filter(spared).map(|(_, node)| node).collect()
    }

    /// Puts so many keys `key(0..count)` with values of so many bytes.
    pub async fn load(&self, count: usize, key: fn(usize) -> String, value_bytes: usize) {
        let batch = (BATCH_BYTES / value_bytes.max(1)).clamp(1, BATCH);
        let value = "x".repeat(value_bytes);
        let op = |number| v1::TxnOp { op: Some(v1::txn_op::Op::Put(put(&key(number), &value))) };
        let kv = self.leader().kv();
        let load = async |first: usize| {
            for number in (first..count.div_ceil(batch)).step_by(LOADERS) {
                let keys = number * batch..count.min((number + 1) * batch);
                let txn = v1::TxnRequest { success: keys.map(op).collect(), ..Default::default() };
                until("keys are loaded", || async { kv.clone().txn(txn.clone()).await.ok() }).await;
            }
        };
        join_all((0..LOADERS).map(load)).await;
    }

    /// The newest term that a node knows.
    pub async fn term(&self) -> u64 {
        let statuses = join_all(self.cluster.nodes.iter().map(Node::status)).await;
        statuses.into_iter().flatten().map(|status| status.raft_term).max().unwrap_or(0)
    }
}
