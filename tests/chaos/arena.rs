//! Where a run takes place: the nodes, a link for each ordered pair of them, and whatever else can be
//! controlled on this machine.

use super::node::Node;
use super::plan::{Ground, Means};
use crate::faults::disk::{self, Disk};
use crate::faults::network::namespaces::Namespaces;
use crate::faults::network::proxy::{Counts, Direction, Ends, Link};
use crate::faults::network::weather::Weather;
use crate::faults::process::clock::Clock;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The flags of every node besides names and addresses: little of the log is kept, so that a node that was
/// away for long needs a snapshot.
const ARGUMENTS: [&str; 8] = [
    "--cluster-token",
    "chaos",
    "--log-format",
    "plain",
    "--log-retain-entries",
    "100",
    "--log-retain-size",
    "256KiB",
];

/// How far the nodes' wall clocks are off all the time, in seconds: a week, in either direction.
const CLOCKS: [i64; 3] = [0, 7 * 24 * 3600, -7 * 24 * 3600];

/// Dropping it kills all nodes.
pub struct Arena {
    pub nodes: Vec<Node>,
    pub ground: Ground,
    /// What cannot be done here, and why.
    pub lacks: Vec<String>,
    seats: Vec<Seat>,
    links: Vec<Link>,
    namespaces: Option<Namespaces>,
    /// One for each node, or none at all.
    disks: Vec<Disk>,
}

/// Where a node listens.
#[derive(Clone, Copy)]
pub struct Seat {
    pub client: SocketAddr,
    pub peer: SocketAddr,
}

impl Arena {
    /// Nodes that are not started yet; all they leave behind is under `directory`.
    pub async fn build(directory: &Path, size: usize, seed: u64) -> Self {
        let mut lacks = Vec::new();
        let namespaces = wanted()
            .and_then(|()| Namespaces::create(size))
            .map_err(|why| lacks.push(format!("network namespaces ({why}): loopback instead")))
            .ok();
        let (seats, held) = seats(size, namespaces.as_ref());
        let links = links(&seats, namespaces.as_ref(), seed).await;
        drop(held);
        let disks = disks(size, seed, &mut lacks);
        let secret = directory.join("secret");
        std::fs::write(&secret, "of this arena, known to all of its nodes").unwrap();
        let mut nodes = Vec::new();
        for place in 0..size {
            let name = name(place);
            let base = CLOCKS[place % CLOCKS.len()];
            let clock = Clock::create(directory.join(format!("{name}.clock")), base)
                .map_err(|why| lacks.push(format!("clock jumps ({why})")))
                .ok();
            let mut words = namespaces.as_ref().map_or_else(Vec::new, |spaces| spaces.prefix(place));
            let data = disks.get(place).map_or_else(|| directory.join(&name), |disk| disk.join("data"));
            words.extend(command_line(place, &seats, &links, &data, &secret));
            let url = format!("http://{}", seats[place].client);
            nodes.push(Node::new(name.clone(), url, directory.join(format!("{name}.log")), words, clock));
        }
        lacks.dedup();
        let ground = Ground {
            namespaces: namespaces.is_some(),
            clocks: nodes.iter().all(|node| node.clock.is_some()),
            disks: !disks.is_empty(),
        };
        Self { nodes, ground, lacks, seats, links, namespaces, disks }
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client_url.clone()).collect()
    }

    /// Where the nodes listen themselves, past all links.
    pub fn seats(&self) -> Vec<Seat> {
        self.seats.clone()
    }

    /// Who leads, in the newest term if several say so.
    pub async fn leader(&self) -> Option<usize> {
        let asked = self.nodes.iter().map(Node::leads);
        let terms = futures_util::future::join_all(asked).await;
        let leaders = terms.into_iter().enumerate().filter_map(|(place, term)| Some((term?, place)));
        leaders.max().map(|(_, place)| place)
    }

    /// What `from` sends no longer reaches `to`.
    pub fn cut(&mut self, from: usize, to: usize, means: Means) {
        match (means, &mut self.namespaces) {
            (Means::Packets, Some(namespaces)) => namespaces.cut(from, to),
            _ => {
                // On the connection that it dialled these are requests; on the other one, answers.
                self.link(from, to).set(Direction::Forward, Weather::blackhole());
                self.link(to, from).set(Direction::Backward, Weather::blackhole());
            }
        }
    }

    /// The same weather everywhere.
    pub fn weather(&self, weather: Weather) {
        self.links.iter().for_each(|link| link.set_both(weather));
    }

    /// Packets of all nodes are lost.
    pub fn lose_packets(&mut self, percent: u32) {
        let size = self.nodes.len();
        if let Some(namespaces) = &mut self.namespaces {
            (0..size).for_each(|node| namespaces.lose(node, percent));
        }
    }

    /// Breaks all connections between nodes.
    pub fn reset_connections(&self) {
        self.links.iter().for_each(Link::reset);
    }

    /// The network is well again.
    pub fn heal_network(&mut self) {
        self.weather(Weather::default());
        if let Some(namespaces) = &mut self.namespaces {
            namespaces.heal();
        }
    }

    /// The node's disk, if it can be controlled.
    pub fn disk(&self, place: usize) -> Option<&Disk> {
        self.disks.get(place)
    }

    /// All disks are fast and have room.
    pub fn heal_disks(&self) {
        for disk in &self.disks {
            disk.slow(Duration::ZERO);
            disk.leave_free(None);
        }
    }

    /// How many writes disks have refused for want of room.
    pub fn writes_refused(&self) -> u64 {
        self.disks.iter().map(|disk| disk.counters().refused_for_room).sum()
    }

    /// How many writes and syncs slow disks have delayed.
    pub fn disk_calls_delayed(&self) -> u64 {
        self.disks.iter().map(|disk| disk.counters().delayed).sum()
    }

    /// A count over all links.
    pub fn counted(&self, which: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        self.links.iter().map(|link| which(link.counts()).load(Ordering::Relaxed)).sum()
    }

    /// Packets that namespaces have dropped.
    pub fn packets_dropped(&self) -> u64 {
        self.namespaces.as_ref().map_or(0, Namespaces::dropped)
    }

    fn link(&self, from: usize, to: usize) -> &Link {
        &self.links[link_place(self.nodes.len(), from, to)]
    }
}

/// Namespaces can be declined, to see what there is without them.
fn wanted() -> Result<(), String> {
    match std::env::var("KONTIKI_CHAOS_GROUND").as_deref() {
        Ok("loopback") => Err("they are not wanted".to_owned()),
        _ => Ok(()),
    }
}

fn name(place: usize) -> String {
    format!("n{}", place + 1)
}

/// Links are in the order (0→1), (0→2), …, (1→0), (1→2), …
fn link_place(size: usize, from: usize, to: usize) -> usize {
    assert_ne!(from, to, "a node has no link to itself");
    from * (size - 1) + if to > from { to - 1 } else { to }
}

fn pairs(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..size).flat_map(move |from| (0..size).filter(move |to| *to != from).map(move |to| (from, to)))
}

/// Where all nodes listen, and what keeps these ports from being given to anybody else meanwhile.
fn seats(size: usize, namespaces: Option<&Namespaces>) -> (Vec<Seat>, Vec<TcpListener>) {
    if let Some(spaces) = namespaces {
        let at = |place, port| SocketAddr::new(spaces.address(place), port);
        let seats = (0..size).map(|place| Seat { client: at(place, 2379), peer: at(place, 2380) });
        return (seats.collect(), Vec::new());
    }
    let free = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let held: Vec<TcpListener> = (0..2 * size).map(free).collect();
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let seats = held.chunks(2).map(|two| Seat { client: address(&two[0]), peer: address(&two[1]) });
    (seats.collect(), held)
}

fn disks(size: usize, seed: u64, lacks: &mut Vec<String>) -> Vec<Disk> {
    if !disk::available() {
        lacks.push("slow and full disks (no FUSE here)".to_owned());
        return Vec::new();
    }
    let mounted: Result<Vec<Disk>, _> = (0..size as u64).map(|place| Disk::mount(seed ^ place)).collect();
    mounted.unwrap_or_else(|error| {
        lacks.push(format!("slow and full disks (FUSE: {error})"));
        Vec::new()
    })
}

async fn links(seats: &[Seat], namespaces: Option<&Namespaces>, seed: u64) -> Vec<Link> {
    let mut links = Vec::new();
    for (from, to) in pairs(seats.len()) {
        let door = |node| namespaces.map(|spaces| spaces.door(node));
        let listen = SocketAddr::new(door(to).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0);
        let ends = Ends { listen, from: door(from), to: seats[to].peer };
        let chances = seed.wrapping_mul(1_000_003).wrapping_add((from * seats.len() + to) as u64);
        links.push(Link::open(ends, chances).await.unwrap());
    }
    links
}

/// Every node has its own map of the cluster: itself, and the links that lead to the others.
fn command_line(place: usize, seats: &[Seat], links: &[Link], data: &Path, secret: &Path) -> Vec<String> {
    let members = (0..seats.len()).map(|other| {
        let address = if other == place {
            seats[place].peer
        } else {
            links[link_place(seats.len(), place, other)].address()
        };
        format!("{}=http://{address}", name(other))
    });
    let Seat { client, peer } = seats[place];
    let mut words = vec![env!("CARGO_BIN_EXE_kontiki").to_owned(), "serve".to_owned()];
    let mut flag = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    flag("--name", name(place));
    flag("--data-dir", data.display().to_string());
    flag("--listen-client", client.to_string());
    flag("--advertise-client", format!("http://{client}"));
    flag("--listen-peer", peer.to_string());
    flag("--advertise-peer", format!("http://{peer}"));
    flag("--initial-cluster", members.collect::<Vec<_>>().join(","));
    flag("--cluster-secret-file", secret.display().to_string());
    words.extend(ARGUMENTS.map(str::to_owned));
    words
}

#[test]
fn each_pair_of_nodes_has_its_own_link() {
    for size in 2..6 {
        let places: Vec<usize> = pairs(size).map(|(from, to)| link_place(size, from, to)).collect();
        assert_eq!(places, (0..size * (size - 1)).collect::<Vec<_>>());
    }
}
