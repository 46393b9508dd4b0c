//! A cluster whose nodes' power can be cut, and what is known of each node across its lives.

use crate::cluster::harness::{Cluster, Setup};
use crate::faults::disk::{Disk, Loss};
use fastrand::Rng;
use kontiki::proto::v1;
use kontiki::raft::HardState;
use kontiki::storage::{self, Options};
use kontiki::types::{ClusterId, NodeId};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// See the module. The cluster goes first: its processes use the disks.
pub struct Powered {
    pub cluster: Cluster,
    pub disks: Vec<Disk>,
    pub rng: Rng,
    /// Nodes that lost their power so far, and how often that was while they started.
    pub cuts: u64,
    during_start: u64,
    slowest_open: Duration,
    seen: Vec<Seen>,
    /// Who led in which term: never two.
    leaders: BTreeMap<u64, usize>,
}

/// What a node has shown, and so must not take back.
#[derive(Default)]
struct Seen {
    /// The highest term in which it led: it has voted for itself then.
    led: u64,
    /// The highest index that it called both durable and committed.
    durable: u64,
    /// The votes that were on its disk.
    votes: BTreeMap<u64, Option<NodeId>>,
    hard_state: HardState,
}

impl Powered {
    /// Three nodes on three disks, with a leader.
    pub async fn start(seed: u64, arguments: &[&str]) -> Self {
        Self::start_on(seed, arguments, Disk::mount).await
    }

    /// The same below the kernel's page cache.
    pub async fn start_cached(seed: u64, arguments: &[&str]) -> Self {
        Self::start_on(seed, arguments, Disk::mount_cached).await
    }

    async fn start_on(seed: u64, arguments: &[&str], mount: fn(u64) -> io::Result<Disk>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let disks: Vec<Disk> = (0..3).map(|_| mount(rng.u64(..)).unwrap()).collect();
        let setup = Setup {
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            data: disks.iter().map(|disk| disk.join("data")).collect(),
            ..Setup::default()
        };
        let mut cluster = Cluster::prepare(setup).await;
        cluster.start_all();
        cluster.leader().await;
        for node in &cluster.nodes {
            node.ready().await;
        }
        Self {
            cluster,
            disks,
            rng,
            cuts: 0,
            during_start: 0,
            slowest_open: Duration::ZERO,
            seen: (0..3).map(|_| Seen::default()).collect(),
            leaders: BTreeMap::new(),
        }
    }

    /// One node, a majority, or all.
    pub fn victims(&mut self) -> Vec<usize> {
        let first = self.rng.usize(..3);
        let count = [1, 1, 2, 3][self.rng.usize(..4)];
        (first..first + count).map(|place| place % 3).collect()
    }

    /// Cuts the power of these nodes at one moment: first the disks, so that nothing written later stays.
    pub fn cut(&mut self, who: &[usize], loss: Loss) {
        for place in who {
            self.disks[*place].cut(loss);
        }
        for place in who {
            self.cluster.nodes[*place].kill();
            self.disks[*place].revive();
            self.cuts += 1;
        }
    }

    /// Starts these nodes and cuts them off again soon, wherever they are by then.
    pub async fn cut_during_start(&mut self, who: &[usize], loss: Loss) {
        for place in who {
            let operations = 2_f64.powf(self.rng.f64() * 9.0) as u64;
            self.disks[*place].cut_after(operations, loss);
            self.cluster.nodes[*place].start();
        }
        let patience = Duration::from_millis(self.rng.u64(1000..4000));
        let started = Instant::now();
        while started.elapsed() < patience && !who.iter().all(|place| self.disks[*place].is_cut()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.during_start += who.len() as u64;
        self.cut(who, loss);
    }

    pub fn start_all(&mut self) {
        for node in self.cluster.nodes.iter_mut().filter(|node| !node.is_running()) {
            node.start();
        }
    }

    /// Waits until all nodes serve: none refuses its disk.
    pub async fn all_answer(&mut self) {
        for node in &mut self.cluster.nodes {
            let name = node.name.clone();
            let ended = node.has_ended();
            assert!(!ended, "{name} ended after a power cut:\n{}", node.log_tail(10));
        }
        self.cluster.leader().await;
        for node in &self.cluster.nodes {
            node.ready().await;
        }
    }

    /// Notes what the nodes say of themselves.
    pub async fn observe(&mut self) {
        for (place, node) in self.cluster.nodes.iter().enumerate() {
            let Some(status) = node.status().await else { continue };
            let seen = &mut self.seen[place];
            seen.durable = seen.durable.max(status.durable_index.min(status.commit_index));
            if status.role == i32::from(v1::NodeRole::Leader) {
                seen.led = seen.led.max(status.raft_term);
                let leader = *self.leaders.entry(status.raft_term).or_insert(place);
                assert_eq!(leader, place, "two nodes led in term {}", status.raft_term);
            }
        }
    }

    /// Opens the directories of nodes that are down and compares them with what these nodes have shown.
    pub fn check_disks(&mut self, who: &[usize]) {
        for place in who {
            let started = Instant::now();
            let Some(options) = self.options(*place) else { continue };
            let storage = storage::open(&options)
                .unwrap_or_else(|error| panic!("{} does not open after a power cut: {error}", options.name));
            let took = started.elapsed();
            self.slowest_open = self.slowest_open.max(took);
            assert!(
                took < super::OPEN_LIMIT || !super::wall_time_counts(),
                "{}: opening took {took:?}",
                options.name
            );
            let restored = &storage.restored;
            self.seen[*place].compare(&options.name, restored.hard_state, restored.last().index.get());
        }
    }

    /// The highest index that a node called both durable and committed.
    pub fn committed(&self) -> u64 {
        self.seen.iter().map(|seen| seen.durable).max().unwrap_or(0)
    }

    /// Where the logs end that are on the disks of nodes that are down.
    pub fn log_ends(&self) -> Vec<u64> {
        (0..self.disks.len()).map(|place| self.log_end(place)).collect()
    }

    /// Where the log of a node that is down ends; 0 if it is refused because its end is lost.
    pub fn log_end(&self, place: usize) -> u64 {
        let options = self.options(place).expect("it has a directory");
        storage::open(&options).map_or(0, |storage| storage.restored.last().index.get())
    }

    /// How the node opens its directory; none if it has not begun to make it.
    fn options(&self, place: usize) -> Option<Options> {
        let node = &self.cluster.nodes[place];
        let text = std::fs::read_to_string(node.data.join("identity")).ok()?;
        let json = text.rsplit_once("crc32c").map_or(text.as_str(), |(json, _)| json);
        let identity: serde_json::Value = serde_json::from_str(json).unwrap();
        let number = |name: &str| u64::from_str_radix(identity[name].as_str().unwrap(), 16).unwrap();
        Some(Options {
            dir: node.data.clone(),
            cluster: ClusterId(number("cluster")),
            founders: Default::default(),
            cluster_token: "test".into(),
            node: NodeId(number("node")),
            name: node.name.clone(),
            fsync: true,
            log: kontiki::storage::LogSettings::default(),
            cache_bytes: 8 << 20,
            vacuum: Default::default(),
            open_timeout: Duration::from_secs(30),
        })
    }
}

impl Drop for Powered {
    /// After a failure too: a process that waits for a disk cannot be killed before that answers.
    fn drop(&mut self) {
        self.disks.iter().for_each(Disk::heal);
    }
}

impl Seen {
    fn compare(&mut self, name: &str, found: HardState, last: u64) {
        let before = self.hard_state;
        assert!(found.term >= before.term, "{name}: the term fell from {} to {}", before.term, found.term);
        assert!(found.term.get() >= self.led, "{name} led in term {} but remembers {}", self.led, found.term);
        assert!(last >= self.durable, "{name}: the log ends at {last}, but {} was durable", self.durable);
        let vote = self.votes.entry(found.term.get()).or_insert(found.vote);
        assert!(
            vote.is_none() || *vote == found.vote,
            "{name} voted for {vote:?} and for {:?} in term {}",
            found.vote,
            found.term
        );
        *vote = found.vote;
        self.hard_state = found;
    }
}

impl std::fmt::Display for Powered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cuts, during_start, slowest_open, leaders, .. } = self;
        let terms = leaders.len();
        write!(
            f,
            "{cuts} cuts of nodes, {during_start} during their start; leaders of {terms} terms seen; slowest open {slowest_open:?}"
        )
    }
}
