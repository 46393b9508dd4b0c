//! The settings of the loop around the core.

use crate::kv::CommandLimits;
use crate::settings::Timing;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// Settings of the core, in ticks.
    pub raft: crate::raft::Options,
    pub tick: Duration,
    /// The most client requests that may wait for the loop; more are refused.
    pub requests_max: usize,
    /// The most peer messages that may wait for the loop; more are dropped.
    pub messages_max: usize,
    /// The most committed entries that may wait to be applied; beyond, writes are refused.
    pub unapplied_max: u64,
    /// About the most bytes of committed entries that may wait to be applied; beyond, writes are refused and a
    /// follower accepts no entries.
    pub unapplied_bytes_max: usize,
    /// How much of the log that the durable state covers is kept for lagging followers.
    pub retention: Retention,
    /// How often the state is made durable, so that the log can be compacted.
    pub state_sync_interval: Duration,
    /// Only what makes room is accepted while the disk has less of it than this, in bytes.
    pub disk_reserve: u64,
    /// How long the first reading of the whole state may take.
    pub open_timeout: Duration,
    /// A disk that does not answer for this long counts as failed: the process ends.
    pub disk_timeout: Duration,
    /// About the most bytes of entries in one write to the log.
    pub log_write_bytes: usize,
    /// The limits on one command, if this node founds a cluster: the same on all founders, and part of the state
    /// from then on.
    pub founding_limits: CommandLimits,
}

/// How much of the log is kept although the state covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At least this many entries…
    pub entries: u64,
    /// …unless they hold more bytes than this.
    pub bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { entries: 50_000, bytes: 32 << 20 }
    }
}

impl ReplicaOptions {
    /// Derives the settings from the timing.
    pub fn new(timing: &Timing, retention: Retention) -> Self {
        let ticks = |time: Duration| {
            u32::try_from(time.as_nanos().div_ceil(timing.tick.as_nanos())).unwrap_or(u32::MAX)
        };
        let election_ticks_max = ticks(timing.election_max);
        Self {
            raft: crate::raft::Options {
                heartbeat_ticks: ticks(timing.heartbeat),
                election_ticks_min: ticks(timing.election_min),
                election_ticks_max,
                disk_stall_ticks: election_ticks_max.saturating_mul(4),
                ..crate::raft::Options::default()
            },
            tick: timing.tick,
            requests_max: 16_384,
            messages_max: 8192,
            unapplied_max: 65_536,
            unapplied_bytes_max: 64 << 20,
            retention,
            state_sync_interval: Duration::from_secs(1),
            disk_reserve: 64 << 20,
            open_timeout: Duration::from_secs(300),
            disk_timeout: (timing.election_max * 30).max(Duration::from_secs(10)),
            log_write_bytes: 8 << 20,
            founding_limits: CommandLimits::FOUNDING,
        }
    }
}
