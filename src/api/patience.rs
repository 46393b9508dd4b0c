//! How long a request waits for an election.
//!
//! An election takes a fraction of a second. Clients that must handle each one themselves tend to get it
//! wrong, so the server waits for them: about one election timeout for a leader to appear, and one more for a
//! lost leader to be replaced.

use crate::api::call::Call;
use crate::api::clock::{Clock, until};
use crate::api::fault::Fault;
use crate::reason::Reason;
use crate::replica::Handle;
use crate::settings::Timing;
use crate::types::NodeId;
use std::time::Duration;
use tokio::time::Instant;

/// The waiting of one request. Bounded by its deadline in any case.
#[derive(Debug)]
pub struct Patience<'a, C> {
    handle: &'a Handle,
    clock: &'a C,
    timing: &'a Timing,
    /// When to stop waiting for any leader.
    leaderless_until: Instant,
    /// When to stop trying again after temporary refusals.
    until: Instant,
}

impl<'a, C: Clock> Patience<'a, C> {
    /// A forwarded request does not wait: the node that forwarded it does.
    pub fn of(call: &Call, handle: &'a Handle, clock: &'a C, timing: &'a Timing) -> Self {
        let now = clock.now();
        let bounded =
            |time: Duration| if call.forwarded { now } else { (now + time).min(call.deadline.at()) };
        let election = timing.election_max;
        let (leaderless_until, until) = (bounded(election), bounded(2 * election));
        Self { handle, clock, timing, leaderless_until, until }
    }

    /// The leader, as soon as this node knows one.
    pub async fn leader(&self) -> Result<NodeId, Fault> {
        if let Some(leader) = self.handle.status().leader {
            return Ok(leader);
        }
        let mut statuses = self.handle.watch_status();
        let found = statuses.wait_for(|status| status.leader.is_some());
        match until(self.clock, self.leaderless_until, found).await {
            Some(Ok(status)) => status.leader.ok_or_else(|| self.no_leader()),
            Some(Err(_)) => Err(Fault::new(Reason::Stopping, "the node is stopping")),
            None => Err(self.no_leader()),
        }
    }

    /// Waits a moment, or until a leader other than `tried` is known. False: the time is up.
    pub async fn pause(&self, tried: NodeId) -> bool {
        let moment = (self.clock.now() + self.timing.heartbeat).min(self.until);
        let mut statuses = self.handle.watch_status();
        let changed = statuses.wait_for(|status| status.leader != Some(tried));
        let stopping = matches!(until(self.clock, moment, changed).await, Some(Err(_)));
        !stopping && self.clock.now() < self.until
    }

    fn no_leader(&self) -> Fault {
        let status = self.handle.status();
        let message = format!(
            "no leader is known in term {}: an election is under way, or most voters are down or unreachable; \
             `kontiki status` shows which",
            status.term
        );
        Fault::new(Reason::NoLeader, message).fact("term", status.term).retry_after(self.timing.election_max)
    }
}
