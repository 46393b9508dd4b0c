//! How long a request waits for the cluster to make up its mind.
//!
//! An election takes a fraction of a second. A client that must handle every
//! one of them itself is written wrongly as a rule, so the server waits for it:
//! for a leader to appear, about one election timeout; for one that is gone and
//! not yet replaced, one more.

use crate::grpc::context::{Call, Context};
use crate::grpc::error::Fault;
use crate::reason::Reason;
use crate::types::NodeId;
use std::time::Duration;
use tokio::time::Instant;

/// The waiting of one request. Bounded by its deadline in any case.
#[derive(Debug)]
pub struct Patience {
    /// Until when to wait for any leader.
    leaderless_until: Instant,
    /// Until when to try again after refusals that pass.
    until: Instant,
}

impl Patience {
    /// A forwarded request has none: the node that forwarded it waits, once.
    pub fn of(context: &Context, call: &Call) -> Self {
        let now = Instant::now();
        if call.forwarded {
            return Self { leaderless_until: now, until: now };
        }
        let election = context.timing.election_max;
        let bounded = |time: Duration| (now + time).min(call.deadline.at());
        Self { leaderless_until: bounded(election), until: bounded(2 * election) }
    }

    /// The leader, as soon as this node knows one.
    pub async fn leader(&self, context: &Context) -> Result<NodeId, Fault> {
        if let Some(leader) = context.handle.status().leader {
            return Ok(leader);
        }
        let mut statuses = context.handle.watch_status();
        let found = statuses.wait_for(|status| status.leader.is_some());
        match tokio::time::timeout_at(self.leaderless_until, found).await {
            Ok(Ok(status)) => status.leader.ok_or_else(|| no_leader(context)),
            Ok(Err(_)) => Err(Fault::new(Reason::Stopping, "the node is stopping")),
            Err(_) => Err(no_leader(context)),
        }
    }

    /// Waits a moment, or until another leader than `tried` is known. False: patience has ended.
    pub async fn pause(&self, context: &Context, tried: NodeId) -> bool {
        let moment = (Instant::now() + context.timing.heartbeat).min(self.until);
        let mut statuses = context.handle.watch_status();
        let changed = statuses.wait_for(|status| status.leader != Some(tried));
        let closed = matches!(tokio::time::timeout_at(moment, changed).await, Ok(Err(_)));
        !closed && Instant::now() < self.until
    }
}

fn no_leader(context: &Context) -> Fault {
    let status = context.handle.status();
    Fault::new(
        Reason::NoLeader,
        format!(
            "{} knows no leader in term {}: an election is under way, or most voters are down or unreachable; \
             `kontiki status` shows which",
            context.answerer.name, status.term
        ),
    )
    .fact("term", status.term)
    .retry_after(context.timing.election_max)
}
