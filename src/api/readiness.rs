//! Whether a node is alive, and whether requests should be sent to it.
//!
//! *Liveness* asks whether restarting this process would help; it never depends
//! on a quorum, or the loss of some nodes would get the others restarted too.
//! *Readiness*: a leader is known and this node's state is close behind.

use crate::api::context::Api;
use crate::replica::Status;
use crate::types::Index;

/// A state that is more entries behind the commit index than this is not ready.
const BEHIND_MAX: u64 = 1_000;

impl Api {
    /// Whether the loop and its disk answer.
    pub fn is_alive(&self) -> bool {
        self.router.handle.alive()
    }

    /// Whether requests should be sent to this node; the error says why not.
    pub fn readiness(&self) -> Result<(), String> {
        if self.is_shutting_down() {
            return Err("the node is stopping".into());
        }
        if !self.is_alive() {
            return Err("the node's loop or its disk does not answer".into());
        }
        let applied = self.router.handle.view().applied().index;
        is_ready(&self.router.handle.status(), applied)
    }
}

fn is_ready(status: &Status, applied: Index) -> Result<(), String> {
    if status.leader.is_none() {
        return Err(format!("no leader is known in term {}", status.term));
    }
    if status.disk_stalled {
        return Err("the disk does not keep up".into());
    }
    let behind = status.commit.get().saturating_sub(applied.get());
    if behind > BEHIND_MAX {
        return Err(format!("the state is {behind} entries behind; it is catching up"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Members, RoleName};
    use crate::types::{EntryId, NodeId, Term};

    fn status() -> Status {
        Status {
            node: NodeId(1),
            role: RoleName::Follower,
            term: Term(3),
            leader: Some(NodeId(2)),
            commit: Index(5_000),
            last: EntryId::new(3, 5_000),
            durable: Index(5_000),
            compacted: Index(0),
            members: Members::of([NodeId(1), NodeId(2), NodeId(3)], [], []).into(),
            followers: Vec::new(),
            disk_stalled: false,
        }
    }

    #[test]
    fn ready_means_a_leader_a_disk_and_a_state_that_is_close() {
        assert_eq!(is_ready(&status(), Index(4_990)), Ok(()));
        // The view may be newer than the status that was read before it.
        assert_eq!(is_ready(&status(), Index(5_001)), Ok(()));
        assert!(is_ready(&status(), Index(10)).unwrap_err().contains("4990 entries behind"));
        let leaderless = Status { leader: None, ..status() };
        assert!(is_ready(&leaderless, Index(5_000)).unwrap_err().contains("no leader"));
        let stalled = Status { disk_stalled: true, ..status() };
        assert!(is_ready(&stalled, Index(5_000)).is_err());
    }
}
