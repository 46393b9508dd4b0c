//! The network: whether, when and how often a packet arrives.
//!
//! Links are one-way. Each may be cut (everything on it is lost) or clogged
//! (everything on it waits). What was sent before a cut still arrives: after
//! the cut has healed and its sender has restarted, if it is late enough.

use crate::sim::clock::{Time, millis};
use crate::sim::random::Random;
use kontiki::types::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The quality of the network while there are faults.
#[derive(Clone, Debug)]
pub struct NetworkFaults {
    /// How often a message is lost.
    pub loss: f64,
    /// How often it arrives again.
    pub duplication: f64,
    /// How often it may overtake others.
    pub reordering: f64,
    /// How often it is very late.
    pub long_delay: f64,
    /// What "very late" means at most.
    pub long_delay_max: Time,
    /// The usual way, on average.
    pub latency: Time,
}

impl NetworkFaults {
    /// A good network.
    pub fn none() -> Self {
        Self {
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            long_delay: 0.0,
            long_delay_max: millis(2),
            latency: Time::from_micros(300),
        }
    }
}

/// One end of a link: a node, or all clients together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Node(NodeId),
    Clients,
}

/// The most messages under way on one link; more are refused.
const IN_FLIGHT_MAX: u32 = 400;

/// See the module.
#[derive(Debug)]
pub struct Network {
    pub faults: NetworkFaults,
    random: Random,
    cuts: BTreeSet<(End, End)>,
    clogs: BTreeMap<(End, End), Time>,
    /// The last arrival on each link, for what may not overtake.
    last: BTreeMap<(End, End), Time>,
    in_flight: BTreeMap<(End, End), u32>,
    pub counts: Counts,
}

/// What the network did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub sent: u64,
    pub lost: u64,
    pub cut: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub late: u64,
    pub clogged: u64,
    pub refused: u64,
}

impl Network {
    pub fn new(faults: NetworkFaults, random: Random) -> Self {
        Self {
            faults,
            random,
            cuts: BTreeSet::new(),
            clogs: BTreeMap::new(),
            last: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// When a datagram-like message arrives: not at all, once or twice.
    pub fn send(&mut self, now: Time, from: End, to: End) -> [Option<Time>; 2] {
        self.counts.sent += 1;
        if self.is_cut(from, to) {
            self.counts.cut += 1;
            return [None, None];
        }
        if self.in_flight(from, to) >= IN_FLIGHT_MAX {
            self.counts.refused += 1;
            return [None, None];
        }
        if self.random.chance(self.faults.loss) {
            self.counts.lost += 1;
            return [None, None];
        }
        let first = self.arrival(now, from, to);
        let second = self.random.chance(self.faults.duplication).then(|| {
            self.counts.duplicated += 1;
            let late = self.random.time_about(self.faults.long_delay_max / 4);
            first + self.latency() + late
        });
        *self.in_flight.entry((from, to)).or_default() += 1 + u32::from(second.is_some());
        [Some(first), second]
    }

    /// When something on a connection arrives: in order and once, or never and
    /// then the connection breaks.
    pub fn send_on_connection(&mut self, now: Time, from: End, to: End) -> Option<Time> {
        if self.is_cut(from, to) || self.random.chance(self.faults.loss / 4.0) {
            return None;
        }
        let at = now + self.latency();
        Some(self.in_order(at, from, to))
    }

    /// A message that was counted on its way has arrived.
    pub fn arrived(&mut self, from: End, to: End) {
        if let Some(count) = self.in_flight.get_mut(&(from, to)) {
            *count = count.saturating_sub(1);
        }
    }

    pub fn in_flight(&self, from: End, to: End) -> u32 {
        self.in_flight.get(&(from, to)).copied().unwrap_or(0)
    }

    fn arrival(&mut self, now: Time, from: End, to: End) -> Time {
        let usual = now + self.latency();
        if self.random.chance(self.faults.long_delay) {
            self.counts.late += 1;
            let late = self.random.time(Time::ZERO..self.faults.long_delay_max.max(Time::from_nanos(1)));
            return usual + late;
        }
        if self.random.chance(self.faults.reordering) {
            self.counts.reordered += 1;
            let extra = self.random.time_about(self.faults.latency * 5);
            return usual + extra;
        }
        self.in_order(usual, from, to)
    }

    fn in_order(&mut self, mut at: Time, from: End, to: End) -> Time {
        if let Some(clogged_until) = self.clogs.get(&(from, to))
            && *clogged_until > at
        {
            self.counts.clogged += 1;
            at = *clogged_until;
        }
        let last = self.last.entry((from, to)).or_default();
        *last = at.max(*last);
        *last
    }

    fn latency(&mut self) -> Time {
        self.faults.latency / 4 + self.random.time_about(self.faults.latency)
    }

    pub fn is_cut(&self, from: End, to: End) -> bool {
        self.cuts.contains(&(from, to))
    }

    pub fn cut(&mut self, from: End, to: End) {
        self.cuts.insert((from, to));
    }

    pub fn restore(&mut self, from: End, to: End) {
        self.cuts.remove(&(from, to));
    }

    pub fn clog(&mut self, from: End, to: End, until: Time) {
        self.clogs.insert((from, to), until);
    }

    /// All faults end; what is on its way stays so.
    pub fn heal(&mut self) {
        self.faults = NetworkFaults::none();
        self.cuts.clear();
        self.clogs.clear();
        // A clog that has ended holds nothing up.
        self.last.clear();
    }
}
