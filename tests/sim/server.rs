//! One simulated machine: a disk that stays, and a process that comes and goes.
//!
//! The process is the real replica, taken apart: its loop, log writer, applier and
//! state syncer are called by the world at moments that the world chooses.

use crate::sim::clock::Time;
use crate::sim::disk::{Opened, SimDisk};
use crate::sim::front::Front;
use crate::sim::ledger::lives::Bounds;
use crate::sim::random::Random;
use crate::sim::spy::{Written, spy_on};
use crate::sim::wire::Outbox;
use kontiki::machine::Machine;
use kontiki::raft::Members;
use kontiki::replica::{Fatal, InstallError, Parts, ReplicaOptions, SnapshotIntake, Start, assemble};
use kontiki::settings::Timing;
use kontiki::storage::RestoredLog;
use kontiki::types::{ClusterId, Index, NodeId, Term};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// All nodes of a world but strangers belong to it.
pub const CLUSTER: ClusterId = ClusterId(0x4b6f_6e74_696b_6921);

/// A machine.
pub struct Server {
    pub id: NodeId,
    pub disk: SimDisk,
    /// How fast its clock runs.
    pub rate: f64,
    /// Counts its processes.
    pub life: u64,
    pub running: Option<Running>,
    /// Its process is paused until then.
    pub paused_until: Time,
    /// Its disk answers nothing until then.
    pub stalled_until: Time,
    pub slow: Option<SlowDisk>,
    /// Why it can never start again.
    pub lost: Option<String>,
    /// Whether damage may hit it.
    pub brittle: bool,
    pub random: Random,
}

/// A disk that answers, but late.
#[derive(Clone, Debug)]
pub struct SlowDisk {
    /// How long a write to the log takes.
    pub writes: Range<Time>,
    pub until: Time,
}

/// A process.
pub struct Running {
    pub life: u64,
    pub parts: Parts,
    pub front: Front,
    pub outbox: Arc<Outbox>,
    /// What its log writer has written since the world last looked.
    pub written: Written,
    /// Which of its parts the world has planned to call.
    pub planned: Planned,
    /// Snapshots on their way in, by transfer. The replica takes one at a time.
    pub intakes: BTreeMap<u64, SnapshotIntake>,
    /// One that is being installed.
    pub installing: Option<Installing>,
    /// Until when its front need not be looked at.
    pub front_due: Option<Time>,
    /// Whether its disk was damaged when it began.
    pub began_damaged: bool,
}

/// See [`Running::planned`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Planned {
    pub turn: bool,
    pub log: bool,
    pub store: bool,
    pub apply: bool,
}

/// The outcome of an installation: this node's term, and what it has applied.
pub type Installed = Result<(Term, Index), InstallError>;

/// A received snapshot that is being installed.
pub struct Installing {
    pub transfer: u64,
    pub outcome: Pin<Box<dyn Future<Output = Installed> + Send>>,
}

/// Why a process did not come up.
#[derive(Debug)]
pub enum NoStart {
    /// It never will: its data is damaged, and it says so.
    Damaged(String),
    /// Damage took the end of the log, the note that would have shown it is gone too or does not help, and so
    /// it went undetected: more damage than can be detected. The world excludes the node.
    Unnoticed(String),
    /// The disk failed meanwhile.
    Failed(String),
    /// The process died meanwhile.
    Died,
}

impl Server {
    pub fn new(id: NodeId, disk: SimDisk, rate: f64, brittle: bool, random: Random) -> Self {
        Self {
            id,
            disk,
            rate,
            life: 0,
            running: None,
            paused_until: Time::ZERO,
            stalled_until: Time::ZERO,
            slow: None,
            lost: None,
            brittle,
            random,
        }
    }

    /// Starts a process on what the disk holds.
    pub fn start(&mut self, founders: &Members, options: &ReplicaOptions) -> Result<RestoredLog, NoStart> {
        self.life += 1;
        let no_start = |disk: &SimDisk, why: String| match &*why {
            _ if disk.is_halted() => NoStart::Died,
            text if text.contains("damaged") => NoStart::Damaged(why),
            _ => NoStart::Failed(why),
        };
        let began_damaged = self.disk.is_damaged();
        let opened = self.disk.open(CLUSTER);
        let Opened { log, storer, restored, states, lost, unwitnessed } =
            opened.map_err(|error| no_start(&self.disk, error.to_string()))?;
        if let Some(lost) = lost {
            let excused = unwitnessed && self.disk.is_damaged();
            assert!(excused, "n{} lost what was durable, and starts: {lost}", self.id);
            return Err(NoStart::Unnoticed(lost));
        }
        let machine =
            Machine::open(states.table()).map_err(|error| no_start(&self.disk, error.to_string()))?;
        let outbox = Arc::new(Outbox::default());
        let (log, written) = spy_on(log);
        let start = Start {
            cluster: CLUSTER,
            node: self.id,
            founders: founders.clone(),
            options: options.clone(),
            seed: self.random.seed(),
            log,
            storer,
            restored: restored.clone(),
            states,
            transport: outbox.clone(),
            fatal: Fatal::default(),
        };
        let parts = assemble(start, machine).map_err(|error| no_start(&self.disk, error.to_string()))?;
        self.disk.proved_sound();
        let tick = options.tick;
        let timing = Timing {
            tick,
            heartbeat: tick * options.raft.heartbeat_ticks,
            election_min: tick * options.raft.election_ticks_min,
            election_max: tick * options.raft.election_ticks_max,
        };
        let front = Front::new(self.id, self.life, parts.handle.clone(), timing, Instant::now());
        self.running = Some(Running {
            life: self.life,
            parts,
            front,
            outbox,
            written,
            planned: Planned::default(),
            intakes: BTreeMap::new(),
            installing: None,
            front_due: None,
            began_damaged,
        });
        Ok(restored)
    }

    /// The process ends, in the middle of whatever it does; and the machine with
    /// it, if power is cut.
    pub fn crash(&mut self, power: bool) {
        self.running = None;
        self.paused_until = Time::ZERO;
        self.disk.crash(power);
    }

    /// How long its next write to the log takes, if that is usually `mean`.
    pub fn write_time(&mut self, mean: Time, now: Time) -> Time {
        match self.slow.clone().filter(|slow| slow.until > now) {
            Some(slow) => self.random.time(slow.writes),
            None => mean / 4 + self.random.time_about(mean),
        }
    }

    /// A moment by its own clock.
    pub fn instant(&self, beginning: Instant, now: Time) -> Instant {
        beginning + now.mul_f64(self.rate)
    }

    /// Converts a time on its clock into true time.
    pub fn by_its_clock(&self, time: Duration) -> Time {
        time.div_f64(self.rate)
    }

    /// What its memory is allowed.
    pub fn bounds(&self, options: &ReplicaOptions) -> Bounds {
        // A tail may exceed its bound by what a leader had appended before it was full.
        Bounds {
            tail_bytes: options.raft.tail_bytes_max * 2 + (1 << 20),
            tail_entries: options.raft.tail_entries_max as u64 * 2 + 1000,
            requests: 1000,
            installed: self.disk.durable().installed,
        }
    }
}
