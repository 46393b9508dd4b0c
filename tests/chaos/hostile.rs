//! Clients that mean harm, beside the faults: one act at a time, all through the run.
//!
//! Like the faults, the acts follow from the seed. They run on a thread of their own, so that the proxies and the
//! honest clients of this process do not wait for them.

use super::acts;
use super::arena::Seat;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So that acts and faults are not drawn by the same numbers.
const OTHER_NUMBERS: u64 = 0x0a77_ac4e_a77a_c4e5;

/// One kind of hostile act; the report has a line for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hostility {
    Settings,
    Pings,
    Resets,
    Silent,
    Unread,
    Unfinished,
    Impatient,
    Compares,
    Counts,
    Crowd,
}

impl Hostility {
    pub const ALL: [Self; 10] = [
        Self::Settings,
        Self::Pings,
        Self::Resets,
        Self::Silent,
        Self::Unread,
        Self::Unfinished,
        Self::Impatient,
        Self::Compares,
        Self::Counts,
        Self::Crowd,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "flood of SETTINGS",
            Self::Pings => "flood of PING",
            Self::Resets => "rapid resets",
            Self::Silent => "silent connections",
            Self::Unread => "unread pages",
            Self::Unfinished => "unfinished bodies",
            Self::Impatient => "impatient clients",
            Self::Compares => "compares of everything",
            Self::Counts => "counts of everything",
            Self::Crowd => "crowd of clients",
        }
    }

    /// Whether it can be done to the port for peers too: what needs a client's call cannot.
    fn suits_peers(self) -> bool {
        matches!(self, Self::Settings | Self::Pings | Self::Resets | Self::Silent)
    }
}

/// Which of a node's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Client,
    Peer,
}

/// One act, and the time until the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    pub kind: Hostility,
    /// The place of the node that it is done to.
    pub node: usize,
    pub port: Port,
    pub time: Duration,
    pub rest: Duration,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = if self.port == Port::Peer { ", peer port" } else { "" };
        write!(f, "hostile: {} at n{}{port} for {:?}", self.kind.name(), self.node + 1, self.time)
    }
}

/// An endless plan. Every kind comes once before any comes again.
pub struct Acts {
    random: fastrand::Rng,
    nodes: usize,
    bag: VecDeque<Hostility>,
}

impl Acts {
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self { random: fastrand::Rng::with_seed(seed ^ OTHER_NUMBERS), nodes, bag: VecDeque::new() }
    }

    fn draw(&mut self) -> Hostility {
        if self.bag.is_empty() {
            let mut kinds = Hostility::ALL;
            self.random.shuffle(&mut kinds);
            self.bag.extend(kinds);
        }
        self.bag.pop_front().expect("it was filled")
    }
}

impl Iterator for Acts {
    type Item = Act;

    fn next(&mut self) -> Option<Act> {
        let kind = self.draw();
        let node = self.random.usize(0..self.nodes);
        let port = if kind.suits_peers() && self.random.bool() { Port::Peer } else { Port::Client };
        let time = Duration::from_millis(self.random.u64(2_000..6_000));
        let rest = Duration::from_millis(self.random.u64(200..1_500));
        Some(Act { kind, node, port, time, rest })
    }
}

/// What came of an act.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    pub kind: Hostility,
    pub began: Duration,
    pub ended: Duration,
    /// Connections, requests or MiB that reached the node; none if it was not there.
    pub count: u64,
}

/// All that were done, in time.
#[derive(Default)]
pub struct Record(Vec<Done>);

impl Record {
    /// Of each kind: how many acts reached their node, and with how much.
    pub fn totals(&self) -> BTreeMap<Hostility, (u32, u64)> {
        let mut totals = BTreeMap::new();
        for done in self.0.iter().filter(|done| done.count > 0) {
            let (acts, count): &mut (u32, u64) = totals.entry(done.kind).or_default();
            *acts += 1;
            *count += done.count;
        }
        totals
    }

    /// What was going on at some time between these two, in words.
    pub fn during(&self, from: Duration, until: Duration) -> String {
        let overlaps = |done: &&Done| done.began < until && from < done.ended;
        let names: Vec<&str> = self.0.iter().filter(overlaps).map(|done| done.kind.name()).collect();
        if names.is_empty() { "nothing hostile".to_owned() } else { names.join(", ") }
    }
}

/// Who does them.
pub struct Hostile {
    stop: Arc<AtomicBool>,
    record: Arc<Mutex<Record>>,
    thread: JoinHandle<()>,
}

impl Hostile {
    pub fn start(seed: u64, seats: Vec<Seat>, start: Instant) -> Self {
        let (stop, record) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, written): (_, Arc<Mutex<Record>>) = (stop.clone(), Arc::clone(&record));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(act_on(Acts::new(seed, seats.len()), &seats, start, &stopped, &written));
            runtime.shutdown_background();
        });
        Self { stop, record, thread }
    }

    /// Ends with the act that is going on.
    pub async fn finish(self) -> Record {
        self.stop.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
        std::mem::take(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn act_on(acts: Acts, seats: &[Seat], start: Instant, stop: &AtomicBool, record: &Mutex<Record>) {
    for act in acts {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let began = start.elapsed();
        println!("{:>7.1} s      {act}", began.as_secs_f64());
        let count = acts::carry_out(&act, seats[act.node]).await;
        let done = Done { kind: act.kind, began, ended: start.elapsed(), count };
        record.lock().unwrap_or_else(PoisonError::into_inner).0.push(done);
        tokio::time::sleep(act.rest).await;
    }
}

#[test]
fn the_same_seed_gives_the_same_acts_of_every_kind() {
    for seed in 0..50 {
        let acts: Vec<Act> = Acts::new(seed, 3).take(100).collect();
        assert_eq!(acts, Acts::new(seed, 3).take(100).collect::<Vec<_>>(), "seed {seed}");
        let (first, _) = acts.split_at(Hostility::ALL.len());
        let mut kinds: Vec<Hostility> = first.iter().map(|act| act.kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, Hostility::ALL, "seed {seed}: every kind comes once before any comes again");
        let round: Duration = first.iter().map(|act| act.time + act.rest).sum();
        assert!(round < Duration::from_secs(75), "seed {seed}: the first round takes {round:?}");
        for node in 0..3 {
            assert!(acts.iter().any(|act| act.node == node), "seed {seed}: n{} is spared", node + 1);
        }
        assert!(acts.iter().any(|act| act.port == Port::Peer), "seed {seed}: peers' ports are spared");
    }
    assert_ne!(Acts::new(1, 3).take(9).collect::<Vec<_>>(), Acts::new(2, 3).take(9).collect::<Vec<_>>());
}

#[test]
fn acts_without_effect_do_not_count() {
    let at = Duration::from_secs;
    let act = |kind, began, ended, count| Done { kind, began: at(began), ended: at(ended), count };
    let record = Record(vec![
        act(Hostility::Crowd, 1, 4, 0),
        act(Hostility::Crowd, 5, 8, 70),
        act(Hostility::Pings, 9, 12, 3),
        act(Hostility::Crowd, 13, 15, 30),
    ]);
    let totals = record.totals();
    assert_eq!(totals[&Hostility::Crowd], (2, 100));
    assert_eq!(totals[&Hostility::Pings], (1, 3));
    assert_eq!(record.during(at(7), at(10)), "crowd of clients, flood of PING");
    assert_eq!(record.during(at(8), at(9)), "nothing hostile");
}
