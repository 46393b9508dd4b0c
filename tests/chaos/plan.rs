//! What the nemesis will do, from a seed.
//!
//! A plan names its victims by what they are ("the leader", "the second
//! follower"); who that is shows when the step is carried out. So the same seed
//! gives the same plan, though no two runs of real processes are the same.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Who is hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The leader when the step begins.
    Leader,
    /// One who does not lead then, counted from 0.
    Follower(usize),
}

/// Which of a node's directions is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is heard, but hears nothing.
    Inward,
    /// It hears, but is not heard.
    Outward,
}

/// By which means the network is hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The proxies hold bytes back.
    Proxy,
    /// The packet filters of namespaces drop packets.
    Packets,
}

/// One kind of fault; the report has a line for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    KillLeader,
    KillFollower,
    KillMajority,
    KillAll,
    Pause,
    PauseMajority,
    Isolate,
    OneWay,
    Bridge,
    Delay,
    Drop,
    PacketLoss,
    Throttle,
    Resets,
    WallClock,
    SlowDisk,
    FullDisk,
    RollingRestart,
    Transfers,
}

impl Kind {
    pub const ALL: [Self; 19] = [
        Self::KillLeader,
        Self::KillFollower,
        Self::KillMajority,
        Self::KillAll,
        Self::Pause,
        Self::PauseMajority,
        Self::Isolate,
        Self::OneWay,
        Self::Bridge,
        Self::Delay,
        Self::Drop,
        Self::PacketLoss,
        Self::Throttle,
        Self::Resets,
        Self::WallClock,
        Self::SlowDisk,
        Self::FullDisk,
        Self::RollingRestart,
        Self::Transfers,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "kill -9, leader",
            Self::KillFollower => "kill -9, follower",
            Self::KillMajority => "kill -9, majority",
            Self::KillAll => "kill -9, all",
            Self::Pause => "pause",
            Self::PauseMajority => "pause, majority",
            Self::Isolate => "partition, full",
            Self::OneWay => "partition, one-way",
            Self::Bridge => "partition, bridging",
            Self::Delay => "delay",
            Self::Drop => "drop",
            Self::PacketLoss => "packet loss",
            Self::Throttle => "throttle",
            Self::Resets => "connection resets",
            Self::WallClock => "wall clock ±1 h",
            Self::SlowDisk => "slow disk",
            Self::FullDisk => "full disk",
            Self::RollingRestart => "rolling restart",
            Self::Transfers => "leader transfers",
        }
    }
}

/// One thing that is done to the cluster, and undone at the end of its step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Kill(Who),
    KillMajority,
    KillAll,
    Pause(Who),
    PauseMajority,
    Isolate(Who, Means),
    OneWay(Who, Way, Means),
    /// Nobody hears everybody, except for one in the middle.
    Bridge(Means),
    Delay {
        millis: u64,
        jitter_millis: u64,
    },
    Drop {
        percent: u32,
    },
    PacketLoss {
        percent: u32,
    },
    Throttle {
        bytes_per_second: u64,
    },
    Resets {
        every_millis: u64,
    },
    WallClock {
        who: Who,
        seconds: i64,
    },
    SlowDisk {
        who: Who,
        millis: u64,
    },
    FullDisk {
        who: Who,
        free_mib: u64,
    },
    RollingRestart,
    Transfers {
        count: u32,
    },
}

impl Fault {
    /// Whether a node may rightly end itself because of it: an engine whose writes
    /// fail cannot go on.
    pub fn may_end_nodes(self) -> bool {
        matches!(self, Self::FullDisk { .. })
    }
}

/// A time with faults and a time of peace.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Counted from 1.
    pub number: u32,
    /// One fault, or two at once.
    pub faults: Vec<(Kind, Fault)>,
    /// How long the faults last. Some, such as a rolling restart, may take longer.
    pub hurt: Duration,
    /// How long there is peace afterwards.
    pub rest: Duration,
}

/// What can be done where the run takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    pub namespaces: bool,
    pub clocks: bool,
    pub disks: bool,
}

/// An endless plan. Every kind comes once before any comes again; after the
/// first round every other step has two faults at once.
pub struct Plan {
    random: fastrand::Rng,
    means: Ground,
    bag: VecDeque<Kind>,
    rounds: u32,
    steps: u32,
}

impl Plan {
    pub fn new(seed: u64, means: Ground) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), means, bag: VecDeque::new(), rounds: 0, steps: 0 }
    }

    /// The kinds that can be done here.
    pub fn kinds(means: Ground) -> Vec<Kind> {
        let possible = |kind: &Kind| match kind {
            Kind::PacketLoss => means.namespaces,
            Kind::WallClock => means.clocks,
            Kind::SlowDisk | Kind::FullDisk => means.disks,
            _ => true,
        };
        Kind::ALL.into_iter().filter(possible).collect()
    }

    fn draw(&mut self) -> Kind {
        if self.bag.is_empty() {
            let mut kinds = Self::kinds(self.means);
            self.random.shuffle(&mut kinds);
            self.bag.extend(kinds);
            self.rounds += 1;
        }
        self.bag.pop_front().expect("some kinds are always possible")
    }

    fn who(&mut self) -> Who {
        if self.random.bool() { Who::Leader } else { Who::Follower(self.random.usize(0..4)) }
    }

    fn network(&mut self) -> Means {
        if self.means.namespaces && self.random.bool() { Means::Packets } else { Means::Proxy }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        match kind {
            Kind::KillLeader => Fault::Kill(Who::Leader),
            Kind::KillFollower => Fault::Kill(Who::Follower(self.random.usize(0..4))),
            Kind::KillMajority => Fault::KillMajority,
            Kind::KillAll => Fault::KillAll,
            Kind::Pause => Fault::Pause(self.who()),
            Kind::PauseMajority => Fault::PauseMajority,
            Kind::Isolate => Fault::Isolate(self.who(), self.network()),
            Kind::OneWay => {
                let way = if self.random.bool() { Way::Inward } else { Way::Outward };
                Fault::OneWay(self.who(), way, self.network())
            }
            Kind::Bridge => Fault::Bridge(self.network()),
            Kind::Delay => {
                Fault::Delay { millis: self.random.u64(5..80), jitter_millis: self.random.u64(0..120) }
            }
            Kind::Drop => Fault::Drop { percent: self.random.u32(2..25) },
            Kind::PacketLoss => Fault::PacketLoss { percent: self.random.u32(3..30) },
            Kind::Throttle => Fault::Throttle { bytes_per_second: self.random.u64(2..32) << 10 },
            Kind::Resets => Fault::Resets { every_millis: self.random.u64(50..600) },
            Kind::WallClock => {
                let seconds = if self.random.bool() { 3600 } else { -3600 };
                Fault::WallClock { who: self.who(), seconds }
            }
            Kind::SlowDisk => Fault::SlowDisk { who: self.who(), millis: self.random.u64(20..800) },
            Kind::FullDisk => {
                // Below the reserve of 64 MiB, below half of it, and really nothing.
                let free_mib = [48, 8, 0][self.random.usize(0..3)];
                Fault::FullDisk { who: self.who(), free_mib }
            }
            Kind::RollingRestart => Fault::RollingRestart,
            Kind::Transfers => Fault::Transfers { count: self.random.u32(2..5) },
        }
    }

    fn millis(&mut self, between: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(between))
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.steps += 1;
        let mut kinds = vec![self.draw()];
        if self.rounds > 1 && self.steps.is_multiple_of(2) {
            let second = self.draw();
            kinds.extend((second != kinds[0]).then_some(second));
        }
        let faults = kinds.into_iter().map(|kind| (kind, self.fault(kind))).collect();
        let hurt = self.millis(1500..6000);
        let rest = self.millis(1500..3000);
        Some(Step { number: self.steps, faults, hurt, rest })
    }
}

impl Step {
    /// Its line in the report.
    pub fn label(&self) -> &'static str {
        match self.faults.as_slice() {
            [(kind, _)] => kind.name(),
            _ => "two at once",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(|(_, fault)| format!("{fault:?}")).collect();
        let (hurt, rest) = (self.hurt.as_secs_f64(), self.rest.as_secs_f64());
        write!(f, "{:>3}. {} for {hurt:.1} s, then {rest:.1} s of peace", self.number, faults.join(" + "))
    }
}

#[test]
fn the_same_seed_gives_the_same_plan_with_every_kind_in_it() {
    let all = Ground { namespaces: true, clocks: true, disks: true };
    let few = Ground { namespaces: false, clocks: false, disks: false };
    for means in [all, few] {
        let possible = Plan::kinds(means);
        for seed in 0..50 {
            let steps: Vec<Step> = Plan::new(seed, means).take(100).collect();
            let again: Vec<Step> = Plan::new(seed, means).take(100).collect();
            assert_eq!(steps, again, "seed {seed}");
            let mut first: Vec<Kind> = steps[..possible.len()].iter().map(|step| step.faults[0].0).collect();
            first.sort_unstable();
            let mut expected = possible.clone();
            expected.sort_unstable();
            assert_eq!(first, expected, "seed {seed}: every kind comes once before any comes again");
            let pairs = steps.iter().filter(|step| step.faults.len() == 2).count();
            assert!(pairs > 30, "seed {seed}: {pairs} of 100 steps have two faults at once");
            let first_round: Duration =
                steps[..possible.len()].iter().map(|step| step.hurt + step.rest).sum();
            assert!(
                first_round < Duration::from_secs(150),
                "seed {seed}: the first round takes {first_round:?}"
            );
        }
    }
    assert_ne!(Plan::new(1, all).take(9).collect::<Vec<_>>(), Plan::new(2, all).take(9).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_done_is_not_planned() {
    let means = Ground { namespaces: false, clocks: false, disks: false };
    let faults = Plan::new(7, means).take(200).flat_map(|step| step.faults);
    for (kind, fault) in faults {
        assert!(!matches!(kind, Kind::PacketLoss | Kind::WallClock | Kind::SlowDisk | Kind::FullDisk));
        assert!(!format!("{fault:?}").contains("Packets"), "{fault:?} needs namespaces");
    }
}
