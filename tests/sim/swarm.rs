//! What a seed's world is like. Each seed has its own mix of sizes, settings and faults, with some faults
//! left out: they would prevent rare sequences (swarm testing).

use crate::sim::clock::{Time, millis};
use crate::sim::network::NetworkFaults;
use crate::sim::random::Random;
use kontiki::raft;
use kontiki::replica::{ReplicaOptions, Retention};
use kontiki::settings::Timing;

/// What may be damaged, and hence what may be required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Damage to data hits at most a minority of the voters (the fault atlas):
    /// when the faults end, the cluster must work.
    Atlas,
    /// Damage hits anybody. Nodes may refuse to start, but never give wrong answers.
    Wild,
}

/// A seed's world.
#[derive(Clone, Debug)]
pub struct Swarm {
    pub mode: Mode,
    pub voters: u64,
    pub learners: u64,
    /// How long there are faults.
    pub span: Time,
    pub timing: Timing,
    pub options: ReplicaOptions,
    pub network: NetworkFaults,
    pub disk: DiskTimes,
    /// How much of the log may wait for compaction before it is stored. Less than the tail may have.
    pub backlog_bytes: usize,
    /// The size of the journal's segments, and how many there may be.
    pub journal: (usize, u32),
    /// What goes wrong, by weight.
    pub faults: Vec<(Fault, u32)>,
    /// How often something goes wrong.
    pub fault_pause: Time,
    pub clients: ClientMix,
    /// How far clocks are off, at most.
    pub clock_drift: f64,
    /// Whether at the end a leader must be elected while every disk is slow.
    pub slow_election: bool,
}

/// How long the disk takes.
#[derive(Clone, Copy, Debug)]
pub struct DiskTimes {
    /// A write with its fsync, on average.
    pub write: Time,
    /// Applying a group, on average.
    pub apply: Time,
}

/// The load.
#[derive(Clone, Copy, Debug)]
pub struct ClientMix {
    pub count: usize,
    pub keys: u64,
    /// Between an answer and the next request, on average.
    pub pause: Time,
    /// How often a client reads its answer slowly.
    pub slow: f64,
    /// How often it gives no time at all.
    pub deadline_zero: f64,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process dies and comes back soon.
    Crash,
    /// Its machine loses power.
    PowerCut,
    /// It stays away until the others have forgotten the log that it needs.
    LongOutage,
    /// All lose power at once.
    AllAtOnce,
    /// One is started and killed again and again.
    RestartStorm,
    /// A process stands still (SIGSTOP, a garbage-collected hypervisor).
    Pause,
    /// The network is split in two.
    Split,
    /// A node cannot receive, or cannot send.
    OneWay,
    /// Some links only: a bridge, a chain, a triangle with a missing side.
    Partial,
    /// A link delays everything.
    Clog,
    /// The way between clients and a node.
    ClientsCutOff,
    /// The disk takes long, up to a minute.
    DiskStall,
    /// Each write takes long, for a long time.
    SlowDisk,
    /// The process dies in the middle of a write.
    CrashInWrite,
    /// A write fails.
    WriteError,
    /// An fsync fails; what it should have written is gone.
    FsyncError,
    /// The disk is full for a while.
    DiskFull,
    /// A bit flips where it lies.
    BitFlip,
    /// A write goes where it does not belong.
    Misdirected,
    /// A read returns something other than what is there.
    ReadFlip,
    /// Leadership is handed over.
    Transfer,
    /// A node has new URLs.
    Moved,
    /// A snapshot arrives that nobody asked for.
    StraySnapshot,
    /// A node of another cluster connects.
    Foreigner,
    /// A member whose disk was emptied comes back under its old name.
    Wiped,
    /// A copy of a member's directory is started as another member.
    Cloned,
}

const USUAL: [(Fault, u32); 25] = [
    (Fault::Crash, 12),
    (Fault::PowerCut, 12),
    (Fault::LongOutage, 6),
    (Fault::AllAtOnce, 4),
    (Fault::RestartStorm, 3),
    (Fault::Pause, 8),
    (Fault::Split, 8),
    (Fault::OneWay, 6),
    (Fault::Partial, 6),
    (Fault::Clog, 6),
    (Fault::ClientsCutOff, 4),
    (Fault::DiskStall, 5),
    (Fault::CrashInWrite, 8),
    (Fault::WriteError, 4),
    (Fault::FsyncError, 5),
    (Fault::DiskFull, 4),
    (Fault::BitFlip, 3),
    (Fault::Misdirected, 2),
    (Fault::ReadFlip, 2),
    (Fault::Transfer, 10),
    (Fault::StraySnapshot, 10),
    (Fault::Foreigner, 3),
    (Fault::Wiped, 2),
    (Fault::Cloned, 2),
    (Fault::Moved, 6),
];

impl Swarm {
    pub fn of_seed(random: &mut Random) -> Self {
        let mode = random.weighted(&[(Mode::Atlas, 5), (Mode::Wild, 1)]);
        let voters = random.weighted(&[(3, 50), (5, 30), (1, 5), (2, 5), (4, 5), (7, 5)]);
        let learners = random.weighted(&[(0, 6), (1, 1), (2, 1)]);
        let timing = timing(random);
        let options = options(random, &timing);
        let span = random.time(millis(20_000)..millis(80_000));
        // An entry has 32 bytes at least: so the store takes over well before the tail is full.
        let backlog_most = 16 * options.raft.tail_entries_max;
        let mut swarm = Self {
            backlog_bytes: random.one_of(&[0, 1 << 10, 8 << 10]).min(backlog_most),
            journal: random.one_of(&[(64 << 10, 2), (32 << 10, 3), (32 << 10, 8)]),
            mode,
            voters,
            learners,
            span,
            options,
            network: network(random, &timing),
            disk: DiskTimes {
                write: random.one_of(&[millis(1), millis(1), millis(4), millis(15)]),
                apply: random.one_of(&[Time::from_micros(50), millis(1), millis(10)]),
            },
            faults: faults(random),
            fault_pause: random.time(millis(400)..millis(5000)),
            clients: ClientMix {
                count: usize::try_from(random.number(2..9)).expect("small"),
                keys: random.one_of(&[1, 2, 3, 5, 8]),
                pause: random.one_of(&[millis(50), millis(150), millis(400)]),
                slow: random.one_of(&[0.0, 0.02, 0.1]),
                deadline_zero: random.one_of(&[0.0, 0.02]),
            },
            clock_drift: random.one_of(&[0.0, 0.01, 0.05]),
            slow_election: false,
            timing,
        };
        if random.chance(SLOW_DISKS) {
            swarm.faults.push((Fault::SlowDisk, 8));
            swarm.slow_election = true;
        }
        swarm
    }

    /// For how long a disk must be silent until its node may not lead.
    pub fn stalled(&self) -> Time {
        self.timing.tick * self.options.raft.disk_stall_ticks
    }

    pub fn nodes(&self) -> u64 {
        self.voters + self.learners
    }
}

fn timing(random: &mut Random) -> Timing {
    let tick = random.one_of(&[millis(20), millis(50)]);
    let heartbeat = tick * u32::try_from(random.number(2..4)).expect("small");
    let election_min = tick * u32::try_from(random.number(9..14)).expect("small");
    Timing { tick, heartbeat, election_min, election_max: election_min * 2 }
}

/// Small, so that limits are met and logs are compacted within a minute.
fn options(random: &mut Random, timing: &Timing) -> ReplicaOptions {
    let entries = random.one_of(&[3, 10, 30, 100]);
    let retention = Retention { entries, bytes: random.one_of(&[2 << 10, 64 << 10]) };
    let mut options = ReplicaOptions::new(timing, retention);
    let size = |number: u64| usize::try_from(number).expect("small");
    options.raft = raft::Options {
        append_bytes_max: random.one_of(&[200, 4 << 10, 1 << 20]),
        append_entries_max: size(random.number(1..40)),
        inflight_appends_max: size(random.number(1..9)),
        inflight_bytes_max: random.one_of(&[1 << 10, 16 << 20]),
        tail_bytes: random.one_of(&[0, 1 << 10, 1 << 20]),
        tail_entries: size(random.one_of(&[0, 5, 1000])),
        tail_bytes_max: retention.bytes * 2 + random.one_of(&[32 << 10, 1 << 20]),
        tail_entries_max: size(entries) * 2 + size(random.number(20..300)),
        reads_max: random.one_of(&[2, 1 << 16]),
        ..options.raft
    };
    options.state_sync_interval = random.time(millis(200)..millis(3000));
    options.requests_max = random.one_of(&[4, 1000]);
    options.messages_max = random.one_of(&[16, 1000]);
    options.unapplied_max = random.one_of(&[4, 1000]);
    options.unapplied_bytes_max = if options.unapplied_max == 4 { 1 << 10 } else { 64 << 20 };
    options.disk_reserve = DISK_RESERVE;
    options.log_write_bytes = random.one_of(&[256, 8 << 20]);
    options.founding_limits.work = COMMAND_WORK;
    options
}

/// How many worlds have disks that are slow for long.
const SLOW_DISKS: f64 = 0.15;

/// Little enough that a transaction with a large value is refused now and then.
const COMMAND_WORK: u64 = 114;

/// Writes are refused while a disk has less room.
pub const DISK_RESERVE: u64 = 64 << 10;

fn network(random: &mut Random, timing: &Timing) -> NetworkFaults {
    let some = |random: &mut Random, most: f64| if random.chance(0.4) { 0.0 } else { random.share() * most };
    NetworkFaults {
        loss: some(random, 0.2).powi(2) * 5.0,
        duplication: some(random, 0.5).powi(2),
        reordering: some(random, 0.6),
        long_delay: some(random, 0.05),
        long_delay_max: random.one_of(&[millis(300), millis(5000), millis(60_000)]),
        latency: random.one_of(&[Time::from_micros(200), millis(1), millis(5), timing.heartbeat / 4]),
    }
}

fn faults(random: &mut Random) -> Vec<(Fault, u32)> {
    let mut faults = Vec::new();
    for (fault, weight) in USUAL {
        if !random.chance(0.45) {
            faults.push((fault, u32::try_from(random.number(1..u64::from(weight) * 2)).expect("small")));
        }
    }
    if faults.is_empty() {
        faults.push((Fault::Crash, 1));
    }
    faults
}
