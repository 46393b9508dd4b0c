//! The settings of a node. All times are in ticks: the core has no clock.

/// Settings of the consensus core. The first group must be the same on all members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often a leader shows that it is alive.
    pub heartbeat_ticks: u32,
    /// A follower that hears nothing for a random time between this…
    pub election_ticks_min: u32,
    /// …and this asks for an election. The randomness breaks ties (Raft §5.2).
    pub election_ticks_max: u32,
    /// Whether a new commit index is sent at once. Else it goes along with the next append, which costs nothing,
    /// or with a heartbeat at the next tick.
    pub commit_at_once: bool,

    /// About the most bytes of entries in one append. One entry may be larger.
    pub append_bytes_max: usize,
    /// The most entries in one append.
    pub append_entries_max: usize,
    /// The most unanswered appends to one follower.
    pub inflight_appends_max: usize,
    /// About the most bytes in unanswered appends to one follower.
    pub inflight_bytes_max: usize,
    /// The tail of the log in memory is trimmed to this many bytes, as far as the entries were handed out and stored.
    pub tail_bytes: usize,
    /// Likewise, in entries.
    pub tail_entries: usize,
    /// The most bytes of the tail. At that size a leader refuses proposals, and a follower refuses appends
    /// once this much of it is committed, until it can be trimmed.
    pub tail_bytes_max: usize,
    /// Likewise, in entries.
    pub tail_entries_max: usize,
    /// The most reads that may wait for confirmation.
    pub reads_max: usize,
    /// A node whose own disk has finished nothing for this long neither leads nor stands for election.
    pub disk_stall_ticks: u32,
}

impl Default for Options {
    /// The LAN preset with ticks of 10 ms.
    fn default() -> Self {
        Self {
            heartbeat_ticks: 5,
            election_ticks_min: 30,
            election_ticks_max: 60,
            commit_at_once: false,
            append_bytes_max: 1 << 20,
            append_entries_max: 4096,
            inflight_appends_max: 256,
            inflight_bytes_max: 16 << 20,
            tail_bytes: 16 << 20,
            tail_entries: 1 << 16,
            tail_bytes_max: 128 << 20,
            tail_entries_max: 1 << 20,
            reads_max: 1 << 16,
            disk_stall_ticks: 240,
        }
    }
}

impl Options {
    /// Panics if the numbers contradict each other: input from outside has been checked before.
    pub(crate) fn assert_consistent(&self) {
        assert!(self.heartbeat_ticks >= 1);
        assert!(self.heartbeat_ticks < self.election_ticks_min);
        assert!(self.election_ticks_min < self.election_ticks_max);
        assert!(self.append_bytes_max >= 1 && self.append_entries_max >= 1);
        assert!(self.inflight_appends_max >= 1 && self.inflight_bytes_max >= 1);
        assert!(self.disk_stall_ticks > self.election_ticks_max);
    }
}
